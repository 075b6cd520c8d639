(function executeRule(current, previous /*null when async*/) {

	var typed = current.getValue('number');
	var checker = new ContainerNumber();
	if (!checker.isValid(typed)) {
		gs.addErrorMessage(gs.getMessage('The check digit of {0} is wrong', [typed]));
		current.setAbortAction(true);
		return;
	}
	current.setValue('number', checker.normalise(typed));

})(current, previous);
