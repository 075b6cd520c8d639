/**
 * Positions of containers on board of one vessel call.
 */
var StowagePlan = Class.create();
StowagePlan.prototype = {
	/**
	 * @param {string} callId - Sys id of the vessel call.
	 */
	initialize: function(callId) {
		this.callId = callId;
		this.table = 'x_hbr_cargo_stow_position';
	},

	/**
	 * Places a container on board.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {number} bay - Bay number.
	 * @param {number} row - Row number, odd to starboard.
	 * @param {number} tier - Tier number.
	 * @returns {boolean} False when the position is taken.
	 */
	place: function(containerId, bay, row, tier) {
		var format = new global.NumberFormat();
		var position = format.padded(bay, 3) + format.padded(row, 2) + format.padded(tier, 2);
		var gr = new GlideRecord(this.table);
		gr.addQuery('call', this.callId);
		gr.addQuery('position', position);
		gr.query();
		if (gr.hasNext()) {
			return false;
		}
		gr.initialize();
		gr.setValue('call', this.callId);
		gr.setValue('container', containerId);
		gr.setValue('position', position);
		return !!gr.insert();
	},

	/**
	 * Containers of the call without a position.
	 *
	 * @returns {string[]} Sys ids of containers.
	 */
	unplaced: function() {
		var all = new global.QueryBuilder('x_hbr_cargo_container').where('load_call', '=', this.callId).collect('sys_id');
		var placed = new global.QueryBuilder(this.table).where('call', '=', this.callId).collect('container');
		return new global.ArrayTools().difference(all, placed);
	},

	/**
	 * Difference of weight between starboard and port.
	 *
	 * @returns {number} Kilograms, positive when starboard is heavier.
	 */
	balance: function() {
		var difference = 0;
		var gr = new GlideRecord(this.table);
		gr.addQuery('call', this.callId);
		gr.query();
		while (gr.next()) {
			var row = parseInt(gr.getValue('position').substring(3, 5), 10);
			var weight = parseFloat(gr.container.gross_kg) || 0;
			difference += row % 2 === 1 ? weight : -weight;
		}
		return difference;
	},

	type: 'StowagePlan'
};
