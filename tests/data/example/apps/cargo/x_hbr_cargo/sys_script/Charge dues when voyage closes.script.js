(function executeRule(current, previous /*null when async*/) {

	if (!current.state.changesTo('closed') || current.call.nil()) {
		return;
	}

	var dues = new x_hbr_berth.PortDues();
	var chargeId = dues.charge(current.getValue('call'));
	if (!chargeId) {
		new global.HarbourLog('Voyages').error('Dues were not charged', { voyage: current.getValue('number') });
	}

})(current, previous);
