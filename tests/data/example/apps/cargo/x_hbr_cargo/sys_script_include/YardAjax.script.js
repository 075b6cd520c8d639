var YardAjax = Class.create();
YardAjax.prototype = Object.extendsObject(global.AbstractAjaxProcessor, {

	getOccupancy: function() {
		var planner = new YardPlanner(this.getParameter('sysparm_yard'));
		return Math.round(planner.occupancy()) + ' %';
	},

	suggestSlot: function() {
		var yardId = this.getParameter('sysparm_yard');
		var size = parseInt(this.getParameter('sysparm_size'), 10);
		var weight = parseFloat(this.getParameter('sysparm_weight'));
		var hazardClass = this.getParameter('sysparm_hazard_class');
		if (isNaN(size) || isNaN(weight)) {
			return '';
		}
		if (hazardClass) {
			return new HazardousYardPlanner(yardId).findSlot(size, weight, hazardClass);
		}
		return new YardPlanner(yardId).findSlot(size, weight);
	},

	type: 'YardAjax'
});
