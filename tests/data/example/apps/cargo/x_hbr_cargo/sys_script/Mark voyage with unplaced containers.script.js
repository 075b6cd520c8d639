(function executeRule(current, previous /*null when async*/) {

	if (current.getValue('state') != 'loading') {
		return;
	}

	var plan = new StowagePlan(current.getValue('call'));
	var missing = plan.unplaced();
	current.setValue('unplaced', missing.length);
	current.setValue('list_warning', Math.abs(plan.balance()) > 50000);

})(current, previous);
