(function executeRule(current, previous /*null when async*/) {

	var hazardClass = current.getValue('hazard_class');
	if (!hazardClass || current.yard.nil()) {
		return;
	}

	var planner = new HazardousYardPlanner(current.getValue('yard'));
	var slotId = planner.findSlot(current.getValue('size'), current.getValue('gross_kg'), hazardClass);
	if (!slotId) {
		gs.addErrorMessage(gs.getMessage('No slot keeps the distance for class {0}', [hazardClass]));
		return;
	}
	planner.reserve(slotId, current.getUniqueValue());

})(current, previous);
