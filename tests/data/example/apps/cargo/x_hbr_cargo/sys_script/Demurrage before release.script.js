(function executeRule(current, previous /*null when async*/) {

	if (!current.state.changesTo('released')) {
		return;
	}

	var demurrage = new DemurrageCalculator();
	var days = demurrage.daysOver(current);
	if (days > 0) {
		var amount = demurrage.charge(current);
		current.setValue('demurrage_amount', amount);
		gs.addInfoMessage(gs.getMessage('{0} days over: {1}', [days, new global.NumberFormat().money(amount)]));
	}

})(current, previous);
