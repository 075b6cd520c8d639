(function executeRule(current, previous /*null when async*/) {

	if (current.getValue('direction') != 'import' || !current.state.changesTo('discharged')) {
		return;
	}

	var declaration = new CustomsDeclaration();
	if (!declaration.isCleared(current.getUniqueValue())) {
		declaration.open(current.getUniqueValue(), 'import');
		new ContainerTracker().hold(current.getUniqueValue(), 'customs');
	}

})(current, previous);
