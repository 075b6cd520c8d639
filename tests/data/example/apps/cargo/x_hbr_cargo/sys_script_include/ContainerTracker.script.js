/**
 * Knows where containers stand and which holds keep them there.
 */
var ContainerTracker = Class.create();
ContainerTracker.prototype = {
	initialize: function() {
		this.log = new global.HarbourLog('ContainerTracker');
	},

	/**
	 * Finds the place of a container.
	 *
	 * @param {string} number - Container number as printed on the box.
	 * @returns {{slot: string, state: string}|null} The place, or null when the container is unknown.
	 */
	locate: function(number) {
		var container = new ContainerRegistry().findByNumber(number);
		if (!container) {
			return null;
		}
		return {
			slot: container.getDisplayValue('slot'),
			state: container.getValue('state')
		};
	},

	/**
	 * Moves a container and writes the movement into its history.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {string} slotId - Sys id of the new slot.
	 * @param {string} reason - Why it is moved.
	 * @returns {string} Sys id of the movement, empty when the container is unknown.
	 */
	move: function(containerId, slotId, reason) {
		var container = new GlideRecord('x_hbr_cargo_container');
		if (!container.get(containerId)) {
			return '';
		}
		var movement = new GlideRecord('x_hbr_cargo_movement');
		movement.initialize();
		movement.setValue('container', containerId);
		movement.setValue('from_slot', container.getValue('slot'));
		movement.setValue('to_slot', slotId);
		movement.setValue('reason', reason);
		container.setValue('slot', slotId);
		container.update();
		return movement.insert();
	},

	/**
	 * Movements of a container, newest first.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @returns {Object[]} Objects with from, to, reason and when.
	 */
	history: function(containerId) {
		var steps = [];
		var gr = new GlideRecord('x_hbr_cargo_movement');
		gr.addQuery('container', containerId);
		gr.orderByDesc('sys_created_on');
		gr.query();
		while (gr.next()) {
			steps.push({
				from: gr.getDisplayValue('from_slot'),
				to: gr.getDisplayValue('to_slot'),
				reason: gr.getValue('reason'),
				when: gr.getValue('sys_created_on')
			});
		}
		return steps;
	},

	/**
	 * Puts a hold on a container.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {string} code - Kind of hold, for example 'customs' or 'seal'.
	 * @returns {string} Sys id of the hold.
	 */
	hold: function(containerId, code) {
		var gr = new GlideRecord('x_hbr_cargo_hold');
		gr.initialize();
		gr.setValue('container', containerId);
		gr.setValue('code', code);
		gr.setValue('active', true);
		this.log.info('Hold', { container: containerId, code: code });
		return gr.insert();
	},

	/**
	 * Lifts the holds of one kind.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {string} code - Kind of hold.
	 */
	liftHold: function(containerId, code) {
		var gr = new GlideRecord('x_hbr_cargo_hold');
		gr.addQuery('container', containerId);
		gr.addQuery('code', code);
		gr.addActiveQuery();
		gr.setValue('active', false);
		gr.updateMultiple();
	},

	type: 'ContainerTracker'
};
