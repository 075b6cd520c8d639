/**
 * Decides whether a container may leave the terminal and releases it.
 */
var CargoRelease = Class.create();
CargoRelease.prototype = {
	initialize: function() {
		this.log = new global.HarbourLog('CargoRelease');
	},

	/**
	 * Everything that keeps a container in the terminal.
	 *
	 * @param {GlideRecord} container - The container.
	 * @returns {string[]} Reasons, empty when it may leave.
	 */
	blockers: function(container) {
		var reasons = [];
		var id = container.getUniqueValue();
		if (!new CustomsDeclaration().isCleared(id)) {
			reasons.push('customs');
		}
		if (new SealCheck().isBroken(id)) {
			reasons.push('seal');
		}
		if (new DemurrageCalculator().charge(container) > 0 && container.getValue('demurrage_paid') != '1') {
			reasons.push('demurrage');
		}
		var holds = new global.QueryBuilder('x_hbr_cargo_hold')
			.where('container', '=', id)
			.where('active', '=', 'true')
			.collect('code');
		return new global.ArrayTools().unique(reasons.concat(holds));
	},

	/**
	 * @param {GlideRecord} container - The container.
	 * @returns {boolean} True when nothing blocks the container.
	 */
	canRelease: function(container) {
		return this.blockers(container).length === 0;
	},

	/**
	 * Releases a container and empties its slot.
	 *
	 * @param {GlideRecord} container - The container.
	 * @param {string} plate - Number plate of the truck.
	 * @returns {boolean} False when something blocks it.
	 */
	release: function(container, plate) {
		if (!this.canRelease(container)) {
			this.log.warn('Release refused', { container: container.getValue('number') });
			return false;
		}
		container.setValue('state', 'released');
		container.setValue('released_to', plate);
		container.update();
		new YardPlanner(String(container.slot.yard)).vacate(container.getUniqueValue());
		return true;
	},

	type: 'CargoRelease'
};
