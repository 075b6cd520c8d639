// Containers by their number, on top of the shared registry.
var ContainerRegistry = Class.create();
ContainerRegistry.prototype = Object.extendsObject(global.BaseRegistry, {

	initialize: function() {
		global.BaseRegistry.prototype.initialize.call(this, 'x_hbr_cargo_container', 'number');
		this.numbers = new ContainerNumber();
	},

	// record of a container, whatever blanks and dashes the number has
	findByNumber: function(raw) {
		var number = this.numbers.normalise(raw);
		if (!this.numbers.isValid(number)) {
			new global.HarbourLog('ContainerRegistry').warn('Not a container number', { number: raw });
			return null;
		}
		return this.find(number);
	},

	// numbers of all containers of a bill of lading
	numbersOfBill: function(billOfLading) {
		return new global.QueryBuilder(this.table)
			.where('bill_of_lading', '=', billOfLading)
			.orderBy('number')
			.collect('number');
	},

	type: 'ContainerRegistry'
});
