// Finds and reserves slots in a storage yard.
var YardPlanner = Class.create();
YardPlanner.prototype = {
	initialize: function(yardId) {
		this.yardId = yardId;
		this.table = 'x_hbr_cargo_slot';
	},

	// Free slot for a container of that size (20, 40, 45) and weight, lowest tier first. Returns a sys_id or ''.
	findSlot: function(size, grossKg) {
		var slot = this._freeSlots(size, grossKg);
		return slot.next() ? slot.getUniqueValue() : '';
	},

	// Marks a slot as taken; false when somebody was faster.
	reserve: function(slotId, containerId) {
		var slot = new GlideRecord(this.table);
		if (!slot.get(slotId) || !slot.container.nil()) {
			return false;
		}
		slot.setValue('container', containerId);
		return !!slot.update();
	},

	// Empties the slot of a container.
	vacate: function(containerId) {
		var slot = new GlideRecord(this.table);
		slot.addQuery('container', containerId);
		slot.query();
		while (slot.next()) {
			slot.setValue('container', '');
			slot.update();
		}
	},

	// Percent of slots in use.
	occupancy: function() {
		var all = new global.QueryBuilder(this.table).where('yard', '=', this.yardId).count();
		var used = new global.QueryBuilder(this.table).where('yard', '=', this.yardId).where('container', '!=', '').count();
		return all === 0 ? 100 : global.clampNumber(100 * used / all, 0, 100);
	},

	_freeSlots: function(size, grossKg) {
		var slot = new GlideRecord(this.table);
		slot.addQuery('yard', this.yardId);
		slot.addQuery('size', '>=', size);
		slot.addQuery('max_kg', '>=', grossKg);
		slot.addNullQuery('container');
		slot.orderBy('tier');
		slot.query();
		return slot;
	},

	type: 'YardPlanner'
};
