/**
 * Yard planner for dangerous goods: keeps the distance between classes.
 *
 * @extends YardPlanner
 */
var HazardousYardPlanner = Class.create();
HazardousYardPlanner.prototype = Object.extendsObject(YardPlanner, {

	/**
	 * Finds a slot that is far enough from incompatible goods.
	 *
	 * @param {number} size - Container size in feet.
	 * @param {number} grossKg - Gross weight in kilograms.
	 * @param {string} hazardClass - Class of the goods, for example '3' or '5.1'.
	 * @returns {string} Sys id of the slot, empty when there is none.
	 */
	findSlot: function(size, grossKg, hazardClass) {
		var slot = this._freeSlots(size, grossKg);
		while (slot.next()) {
			if (this.isSegregated(slot, hazardClass)) {
				return slot.getUniqueValue();
			}
		}
		return '';
	},

	/**
	 * Checks the distance of a slot to the dangerous goods around it.
	 *
	 * @param {GlideRecord} slot - The slot.
	 * @param {string} hazardClass - Class of the goods to place.
	 * @returns {boolean} True when all distances are kept.
	 */
	isSegregated: function(slot, hazardClass) {
		var goods = new DangerousGoods();
		var other = new GlideRecord(this.table);
		other.addQuery('yard', this.yardId);
		other.addNotNullQuery('container.hazard_class');
		other.query();
		while (other.next()) {
			var distance = Math.abs(other.getValue('position_m') - slot.getValue('position_m'));
			if (distance < goods.segregationMetres(hazardClass, String(other.container.hazard_class))) {
				return false;
			}
		}
		return true;
	},

	type: 'HazardousYardPlanner'
});
