/**
 * Rules for dangerous goods.
 */
var DangerousGoods = Class.create();
DangerousGoods.prototype = {
	initialize: function() {
		this.explosive = ['1.1', '1.2', '1.3'];
	},

	/**
	 * Class of a substance.
	 *
	 * @param {string} unNumber - UN number, with or without the letters UN.
	 * @returns {string} The class, empty when the number is not listed.
	 */
	classify: function(unNumber) {
		var digits = String(unNumber).replace(/\D/g, '');
		var entry = new global.QueryBuilder('x_hbr_cargo_substance')
			.where('un_number', '=', digits)
			.first();
		return entry ? entry.getValue('hazard_class') : '';
	},

	/**
	 * Tells whether goods of a class may be handled at a berth.
	 *
	 * @param {string} hazardClass - Class of the goods.
	 * @param {string} berthId - Sys id of the berth.
	 * @returns {boolean} False for explosives at berths without a licence.
	 */
	isPermitted: function(hazardClass, berthId) {
		if (this.explosive.indexOf(hazardClass) < 0) {
			return true;
		}
		var berth = new GlideRecord('x_hbr_berth_berth');
		return berth.get(berthId) && berth.getValue('explosives_licence') == '1';
	},

	/**
	 * Distance that two classes have to keep.
	 *
	 * @param {string} first - A class.
	 * @param {string} second - Another class.
	 * @returns {number} Distance in metres.
	 */
	segregationMetres: function(first, second) {
		if (this.explosive.indexOf(first) >= 0 || this.explosive.indexOf(second) >= 0) {
			return 24;
		}
		return first.charAt(0) === second.charAt(0) ? 0 : 6;
	},

	/**
	 * Writes the dangerous goods note of a container.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {string} unNumber - UN number of the substance.
	 * @param {number} netKg - Net weight in kilograms.
	 * @returns {string} Sys id of the note.
	 */
	declare: function(containerId, unNumber, netKg) {
		var note = new GlideRecord('x_hbr_cargo_hazard_note');
		note.initialize();
		note.setValue('container', containerId);
		note.setValue('un_number', unNumber);
		note.setValue('hazard_class', this.classify(unNumber));
		note.setValue('net_kg', netKg);
		return note.insert();
	},

	type: 'DangerousGoods'
};
