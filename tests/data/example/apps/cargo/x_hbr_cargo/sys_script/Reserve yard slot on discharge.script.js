(function executeRule(current, previous /*null when async*/) {

	if (!current.state.changesTo('discharged') || !current.slot.nil()) {
		return;
	}

	var yardId = current.getValue('yard');
	var size = parseInt(current.getValue('size'), 10);
	var weight = parseFloat(current.getValue('gross_kg'));

	var planner = new YardPlanner(yardId);
	var slotId = planner.findSlot(size, weight);
	if (slotId && planner.reserve(slotId, current.getUniqueValue())) {
		new ContainerTracker().move(current.getUniqueValue(), slotId, 'discharge');
	}

})(current, previous);
