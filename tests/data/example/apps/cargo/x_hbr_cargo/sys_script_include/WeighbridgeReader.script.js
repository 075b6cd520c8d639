var WeighbridgeReader = Class.create();
WeighbridgeReader.prototype = {
	initialize: function() {
		this.table = 'x_hbr_cargo_weighing';
		this.maxKg = new global.PropertyReader('x_hbr_cargo').number('max_container_kg', 30480);
	},

	latest: function(plate) {
		var gr = new GlideRecord(this.table);
		gr.addQuery('plate', plate);
		gr.orderByDesc('weighed_on');
		gr.setLimit(1);
		gr.query();
		return gr.next() ? parseFloat(gr.getValue('kg')) : 0;
	},

	verifiedMass: function(containerId) {
		var ga = new GlideAggregate(this.table);
		ga.addQuery('container', containerId);
		ga.addAggregate('AVG', 'kg');
		ga.setGroup(false);
		ga.query();
		return ga.next() ? Math.round(parseFloat(ga.getAggregate('AVG', 'kg'))) : 0;
	},

	isOverweight: function(containerId) {
		return this.verifiedMass(containerId) > this.maxKg;
	},

	type: 'WeighbridgeReader'
};
