(function executeRule(current, previous /*null when async*/) {

	if (!current.state.changesTo('cleared')) {
		return;
	}

	var containerId = current.getValue('container');
	var tracker = new ContainerTracker();
	tracker.liftHold(containerId, 'customs');
	new global.AuditTrail().note(current, 'Customs hold lifted');

})(current, previous);
