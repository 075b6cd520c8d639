/**
 * Demurrage: what a container costs that stays longer than its free days.
 */
var DemurrageCalculator = Class.create();
DemurrageCalculator.prototype = {
	initialize: function() {
		var properties = new global.PropertyReader('x_hbr_cargo.demurrage');
		this.freeDays = properties.number('free_days', 5);
		this.firstRate = properties.number('first_rate', 35);
		this.laterRate = properties.number('later_rate', 70);
	},

	/**
	 * Free days that are left.
	 *
	 * @param {GlideRecord} container - The container.
	 * @returns {number} Days, 0 when none is left.
	 */
	freeDaysLeft: function(container) {
		return Math.max(0, this._allowed(container) - this._daysInYard(container));
	},

	/**
	 * Days beyond the free days.
	 *
	 * @param {GlideRecord} container - The container.
	 * @returns {number} Full days.
	 */
	daysOver: function(container) {
		return Math.max(0, this._daysInYard(container) - this._allowed(container));
	},

	/**
	 * Amount that is due. The rate rises after a week.
	 *
	 * @param {GlideRecord} container - The container.
	 * @returns {number} Amount in the harbour currency.
	 */
	charge: function(container) {
		var days = this.daysOver(container);
		var later = Math.max(0, days - 7);
		return (days - later) * this.firstRate + later * this.laterRate;
	},

	_allowed: function(container) {
		return parseInt(container.getValue('free_days'), 10) || this.freeDays;
	},

	_daysInYard: function(container) {
		var period = new global.DateWindow(new GlideDateTime(container.getValue('arrived_on')), new GlideDateTime());
		return Math.floor(period.hours() / 24);
	},

	type: 'DemurrageCalculator'
};
