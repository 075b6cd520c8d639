var SealCheck = Class.create();
SealCheck.prototype = {
	initialize: function() {
		this.table = 'x_hbr_cargo_seal_event';
	},

	matches: function(container, seal) {
		var known = String(container.getValue('seal') || '').toUpperCase();
		return known !== '' && known === String(seal).trim().toUpperCase();
	},

	record: function(containerId, seal, intact) {
		var event = new GlideRecord(this.table);
		event.initialize();
		event.setValue('container', containerId);
		event.setValue('seal', seal);
		event.setValue('intact', intact);
		if (!intact) {
			new ContainerTracker().hold(containerId, 'seal');
		}
		return event.insert();
	},

	isBroken: function(containerId) {
		var event = new GlideRecord(this.table);
		event.addQuery('container', containerId);
		event.orderByDesc('sys_created_on');
		event.setLimit(1);
		event.query();
		return event.next() && event.getValue('intact') == '0';
	},

	type: 'SealCheck'
};
