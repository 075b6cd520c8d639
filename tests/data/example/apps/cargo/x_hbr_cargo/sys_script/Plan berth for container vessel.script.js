(function executeRule(current, previous /*null when async*/) {

	if (current.arrival.nil() || !current.berth.nil()) {
		return;
	}

	var arrival = new GlideDateTime(current.getValue('arrival'));
	var ship = current.vessel.getRefRecord();
	var length = parseFloat(ship.getValue('length_overall'));
	var draught = parseFloat(ship.getValue('max_draught'));

	var allocator = new x_hbr_berth.BerthAllocator();
	current.setValue('berth', allocator.findFree(arrival, length, draught));

})(current, previous);
