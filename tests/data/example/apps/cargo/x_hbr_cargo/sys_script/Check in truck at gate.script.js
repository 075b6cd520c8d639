(function executeRule(current, previous /*null when async*/) {

	var plate = current.getValue('plate');
	if (!plate) {
		return;
	}

	var slots = new TruckSlots(current.getValue('gate'));
	var bookingId = slots.checkIn(plate);
	if (!bookingId) {
		gs.addErrorMessage(gs.getMessage('There is no booking for {0}', [plate]));
		return;
	}
	new global.HarbourLog('Gate').info('Truck checked in', { weight: new WeighbridgeReader().latest(plate) });

})(current, previous);
