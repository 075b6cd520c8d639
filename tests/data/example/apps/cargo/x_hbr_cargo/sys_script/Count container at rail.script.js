(function executeRule(current, previous /*null when async*/) {

	var reason = current.getValue('reason');
	if (reason != 'discharge' && reason != 'load') {
		return;
	}

	var sheet = new TallySheet(String(current.container.call));
	sheet.tick(reason, current.getValue('container'));

})(current, previous);
