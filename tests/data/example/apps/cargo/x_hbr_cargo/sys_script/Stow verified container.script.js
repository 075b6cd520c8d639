(function executeRule(current, previous /*null when async*/) {

	var containerId = current.getValue('container');
	if (new WeighbridgeReader().verifiedMass(containerId) === 0) {
		gs.addErrorMessage(gs.getMessage('The container has not been weighed'));
		current.setAbortAction(true);
		return;
	}

	var plan = new StowagePlan(current.getValue('call'));
	if (!plan.place(containerId, current.getValue('bay'), current.getValue('row'), current.getValue('tier'))) {
		current.setAbortAction(true);
	}

})(current, previous);
