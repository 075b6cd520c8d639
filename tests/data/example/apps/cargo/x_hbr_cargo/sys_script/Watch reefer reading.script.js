(function executeRule(current, previous /*null when async*/) {

	var container = current.container.getRefRecord();
	if (!container.isValidRecord() || container.getValue('reefer') != '1') {
		return;
	}

	var monitor = new ReeferMonitor();
	if (monitor.isOutOfRange(container)) {
		monitor.raiseAlarm(container);
	}

})(current, previous);
