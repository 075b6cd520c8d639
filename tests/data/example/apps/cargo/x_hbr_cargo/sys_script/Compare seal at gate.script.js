(function executeRule(current, previous /*null when async*/) {

	var container = current.container.getRefRecord();
	var seen = current.getValue('seal_seen');
	if (!container.isValidRecord() || !seen) {
		return;
	}

	var seals = new SealCheck();
	var intact = seals.matches(container, seen);
	seals.record(container.getUniqueValue(), seen, intact);
	current.setValue('seal_ok', intact);

})(current, previous);
