(function executeRule(current, previous /*null when async*/) {

	var moves = parseInt(current.getValue('planned_moves'), 10) || 0;
	if (current.berth.nil() || moves === 0) {
		return;
	}

	var cranes = new CraneScheduler();
	var starts = new GlideDateTime(current.getValue('arrival'));
	var ends = new GlideDateTime(starts);
	ends.addSeconds(cranes.hoursNeeded(moves) * 3600);
	var period = new global.DateWindow(starts, ends);
	var craneId = cranes.findIdle(current.getValue('berth'), period);
	if (craneId) {
		cranes.assign(craneId, current.getValue('call'), period);
	}

})(current, previous);
