var ContainerNumber = Class.create();
ContainerNumber.prototype = {
	initialize: function() {
		this.alphabet = '0123456789A?BCDEFGHIJK?LMNOPQRSTU?VWXYZ';
	},

	normalise: function(raw) {
		return String(raw || '').toUpperCase().replace(/[^A-Z0-9]/g, '');
	},

	checkDigit: function(raw) {
		var number = this.normalise(raw);
		var sum = 0;
		for (var i = 0; i < 10; i++) {
			sum += this.alphabet.indexOf(number.charAt(i)) * Math.pow(2, i);
		}
		return sum % 11 % 10;
	},

	isValid: function(raw) {
		var number = this.normalise(raw);
		if (!/^[A-Z]{3}[UJZ][0-9]{7}$/.test(number)) {
			return false;
		}
		return this.checkDigit(number) === parseInt(number.charAt(10), 10);
	},

	type: 'ContainerNumber'
};
