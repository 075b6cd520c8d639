(function executeRule(current, previous /*null when async*/) {

	var container = current.container.getRefRecord();
	if (current.getValue('kind') != 'demurrage' || !container.isValidRecord()) {
		return;
	}

	container.setValue('demurrage_paid', true);
	container.update();
	var gate = new CargoRelease();
	if (gate.canRelease(container)) {
		gs.eventQueue('x_hbr_cargo.ready', container, container.getValue('number'), '');
	}

})(current, previous);
