// Counts containers over the ship's rail, one sheet for a call and direction.
var TallySheet = Class.create();
TallySheet.prototype = {
	initialize: function(callId) {
		this.callId = callId;
		this.table = 'x_hbr_cargo_tally';
	},

	// opens a sheet, or gives back the open one
	open: function(direction) {
		var sheet = this._openSheet(direction);
		if (sheet) {
			return sheet.getUniqueValue();
		}
		var gr = new GlideRecord(this.table);
		gr.initialize();
		gr.setValue('call', this.callId);
		gr.setValue('direction', direction);
		gr.setValue('state', 'open');
		return gr.insert();
	},

	// counts one container
	tick: function(direction, containerId) {
		var line = new GlideRecord('x_hbr_cargo_tally_line');
		line.initialize();
		line.setValue('tally', this.open(direction));
		line.setValue('container', containerId);
		return line.insert();
	},

	// containers of the call that were never counted
	shortages: function() {
		var expected = new global.QueryBuilder('x_hbr_cargo_container').where('call', '=', this.callId).collect('sys_id');
		var counted = new global.QueryBuilder('x_hbr_cargo_tally_line').where('tally.call', '=', this.callId).collect('container');
		return new global.ArrayTools().difference(expected, counted);
	},

	// closes every open sheet of the call
	close: function() {
		var gr = new GlideRecord(this.table);
		gr.addQuery('call', this.callId);
		gr.addQuery('state', 'open');
		gr.setValue('state', 'closed');
		gr.updateMultiple();
	},

	_openSheet: function(direction) {
		return new global.QueryBuilder(this.table)
			.where('call', '=', this.callId)
			.where('direction', '=', direction)
			.where('state', '=', 'open')
			.first();
	},

	type: 'TallySheet'
};
