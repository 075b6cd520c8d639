(function executeRule(current, previous /*null when async*/) {

	var unNumber = current.getValue('un_number');
	if (current.getValue('direction') != 'export' || !unNumber) {
		return;
	}

	var netKg = parseFloat(current.getValue('gross_kg')) - parseFloat(current.getValue('tare_kg'));
	new DangerousGoods().declare(current.getUniqueValue(), unNumber, netKg);

})(current, previous);
