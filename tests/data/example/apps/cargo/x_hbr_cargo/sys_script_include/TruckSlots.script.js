var TruckSlots = Class.create();
TruckSlots.prototype = {
	initialize: function(gate) {
		this.gate = gate || 'north';
	},

	available: function(period) {
		var slots = [];
		var gr = new GlideRecord('x_hbr_cargo_truck_slot');
		gr.addQuery('gate', this.gate);
		gr.addEncodedQuery(period.toQuery('starts'));
		gr.addQuery('free_places', '>', 0);
		gr.orderBy('starts');
		gr.query();
		while (gr.next()) {
			slots.push({ id: gr.getUniqueValue(), starts: gr.getDisplayValue('starts'), places: parseInt(gr.getValue('free_places'), 10) });
		}
		return slots;
	},

	book: function(slotId, containerId, plate) {
		var slot = new GlideRecord('x_hbr_cargo_truck_slot');
		if (!slot.get(slotId) || parseInt(slot.getValue('free_places'), 10) < 1) {
			return '';
		}
		slot.setValue('free_places', slot.getValue('free_places') - 1);
		slot.update();
		var booking = new GlideRecord('x_hbr_cargo_truck_booking');
		booking.initialize();
		booking.setValue('slot', slotId);
		booking.setValue('container', containerId);
		booking.setValue('plate', plate);
		return booking.insert();
	},

	cancel: function(bookingId) {
		var booking = new GlideRecord('x_hbr_cargo_truck_booking');
		if (!booking.get(bookingId)) {
			return false;
		}
		var slot = booking.slot.getRefRecord();
		slot.setValue('free_places', parseInt(slot.getValue('free_places'), 10) + 1);
		slot.update();
		return booking.deleteRecord();
	},

	checkIn: function(plate) {
		var booking = new GlideRecord('x_hbr_cargo_truck_booking');
		booking.addQuery('plate', plate);
		booking.addNullQuery('checked_in');
		booking.orderBy('slot.starts');
		booking.setLimit(1);
		booking.query();
		if (!booking.next()) {
			return '';
		}
		booking.setValue('checked_in', new GlideDateTime());
		return booking.update();
	},

	type: 'TruckSlots'
};
