(function executeRule(current, previous /*null when async*/) {

	var unNumber = current.getValue('un_number');
	if (!unNumber) {
		current.setValue('hazard_class', '');
		return;
	}

	var goods = new DangerousGoods();
	var hazardClass = goods.classify(unNumber);
	if (!hazardClass || !goods.isPermitted(hazardClass, String(current.call.berth))) {
		gs.addErrorMessage(gs.getMessage('These goods may not be handled at the berth'));
		current.setAbortAction(true);
		return;
	}
	current.setValue('hazard_class', hazardClass);

})(current, previous);
