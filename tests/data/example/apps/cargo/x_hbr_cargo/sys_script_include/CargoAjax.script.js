/**
 * Answers questions of forms about containers, trucks and dangerous goods.
 */
var CargoAjax = Class.create();
CargoAjax.prototype = Object.extendsObject(global.AbstractAjaxProcessor, {

	/**
	 * Place and holds of a container. Reads sysparm_number.
	 *
	 * @returns {string} JSON object with slot and state, or 'unknown'.
	 */
	getContainerStatus: function() {
		var place = new ContainerTracker().locate(this.getParameter('sysparm_number'));
		return place ? JSON.stringify(place) : 'unknown';
	},

	/**
	 * Free truck slots of the next two days. Reads sysparm_gate.
	 *
	 * @returns {string} JSON array of slots.
	 */
	getTruckSlots: function() {
		var until = new GlideDateTime();
		until.addDaysUTC(2);
		var period = new global.DateWindow(new GlideDateTime(), until);
		var slots = new TruckSlots(this.getParameter('sysparm_gate')).available(period);
		return JSON.stringify(slots);
	},

	/**
	 * Class of a substance. Reads sysparm_un.
	 *
	 * @returns {string} The class, empty when the UN number is not listed.
	 */
	getHazardClass: function() {
		return new DangerousGoods().classify(this.getParameter('sysparm_un'));
	},

	type: 'CargoAjax'
});
