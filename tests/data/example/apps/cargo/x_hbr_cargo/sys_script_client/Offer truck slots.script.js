function onChange(control, oldValue, newValue, isLoading, isTemplate) {
	if (isLoading || newValue === '') {
		return;
	}

	var ajax = new GlideAjax('CargoAjax');
	ajax.addParam('sysparm_name', 'getTruckSlots');
	ajax.addParam('sysparm_gate', newValue);
	ajax.getXMLAnswer(function(answer) {
		g_form.clearOptions('slot_choice');
		JSON.parse(answer).forEach(function(slot) {
			g_form.addOption('slot_choice', slot.id, slot.starts);
		});
	});
}
