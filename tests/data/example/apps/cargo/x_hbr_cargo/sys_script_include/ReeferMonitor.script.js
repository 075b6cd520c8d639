/*
 * Watches the temperature of refrigerated containers.
 */
var ReeferMonitor = Class.create();
ReeferMonitor.prototype = {
	initialize: function() {
		this.tolerance = new global.PropertyReader('x_hbr_cargo.reefer').number('tolerance', 2);
	},

	/* last temperature in degrees Celsius, NaN without a reading */
	lastReading: function(containerId) {
		var gr = new GlideRecord('x_hbr_cargo_reefer_reading');
		gr.addQuery('container', containerId);
		gr.orderByDesc('taken');
		gr.setLimit(1);
		gr.query();
		return gr.next() ? parseFloat(gr.getValue('celsius')) : NaN;
	},

	/* true when the last reading is too far from the set point */
	isOutOfRange: function(container) {
		var reading = this.lastReading(container.getUniqueValue());
		if (isNaN(reading)) {
			return true;
		}
		return Math.abs(reading - parseFloat(container.getValue('set_point'))) > this.tolerance;
	},

	/* tells the reefer team and leaves a note on the container */
	raiseAlarm: function(container) {
		var reading = this.lastReading(container.getUniqueValue());
		new global.MailComposer('Reefer ' + container.getValue('number') + ' is out of range')
			.to(new global.PropertyReader('x_hbr_cargo.reefer').text('alarm_address', 'reefer@example.invalid'))
			.line('Set point: ' + container.getValue('set_point'))
			.line('Reading: ' + reading)
			.aboutRecord(container)
			.send();
		new global.AuditTrail().note(container, 'Temperature alarm at ' + reading);
	},

	type: 'ReeferMonitor'
};
