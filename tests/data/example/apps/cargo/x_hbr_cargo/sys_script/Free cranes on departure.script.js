(function executeRule(current, previous /*null when async*/) {

	if (!current.state.changesTo('departed')) {
		return;
	}

	var callId = current.getValue('call');
	new CraneScheduler().releaseAll(callId);

	var tally = new TallySheet(callId);
	tally.close();
	if (tally.shortages().length > 0) {
		gs.addInfoMessage(gs.getMessage('{0} containers were not counted', [tally.shortages().length]));
	}

})(current, previous);
