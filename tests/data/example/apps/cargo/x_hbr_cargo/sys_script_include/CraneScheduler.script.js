/**
 * Assigns quay cranes to vessel calls.
 */
var CraneScheduler = Class.create();
CraneScheduler.prototype = {
	initialize: function() {
		this.table = 'x_hbr_cargo_crane_job';
		this.movesPerHour = new global.PropertyReader('x_hbr_cargo').number('crane_moves_per_hour', 26);
	},

	/**
	 * Finds a crane at a berth that has nothing to do in a period.
	 *
	 * @param {string} berthId - Sys id of the berth.
	 * @param {DateWindow} period - When the crane is needed.
	 * @returns {string} Sys id of the crane, empty when all are busy.
	 */
	findIdle: function(berthId, period) {
		var crane = new GlideRecord('x_hbr_cargo_crane');
		crane.addQuery('berth', berthId);
		crane.addQuery('state', 'ready');
		crane.orderByDesc('reach');
		crane.query();
		while (crane.next()) {
			if (!this._isBusy(crane.getUniqueValue(), period)) {
				return crane.getUniqueValue();
			}
		}
		return '';
	},

	/**
	 * Assigns a crane to a call.
	 *
	 * @param {string} craneId - Sys id of the crane.
	 * @param {string} callId - Sys id of the vessel call.
	 * @param {DateWindow} period - When the crane works.
	 * @returns {string} Sys id of the crane job.
	 */
	assign: function(craneId, callId, period) {
		var job = new GlideRecord(this.table);
		job.initialize();
		job.setValue('crane', craneId);
		job.setValue('call', callId);
		job.setValue('starts', period.start);
		job.setValue('ends', period.end);
		return job.insert();
	},

	/**
	 * Hours of crane work for a number of container moves.
	 *
	 * @param {number} moves - Containers to load and discharge.
	 * @returns {number} Hours, rounded up to half hours.
	 */
	hoursNeeded: function(moves) {
		return Math.ceil(2 * moves / this.movesPerHour) / 2;
	},

	/**
	 * Takes all cranes away from a call.
	 *
	 * @param {string} callId - Sys id of the vessel call.
	 */
	releaseAll: function(callId) {
		var job = new GlideRecord(this.table);
		job.addQuery('call', callId);
		job.deleteMultiple();
	},

	_isBusy: function(craneId, period) {
		return new global.QueryBuilder(this.table)
			.where('crane', '=', craneId)
			.where('starts', '<', period.end.getValue())
			.where('ends', '>', period.start.getValue())
			.count() > 0;
	},

	type: 'CraneScheduler'
};
