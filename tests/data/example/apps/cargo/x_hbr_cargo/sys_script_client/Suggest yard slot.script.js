function onChange(control, oldValue, newValue, isLoading, isTemplate) {
	if (isLoading || newValue === '') {
		return;
	}

	var ga = new GlideAjax('x_hbr_cargo.YardAjax');
	ga.addParam('sysparm_name', 'suggestSlot');
	ga.addParam('sysparm_yard', newValue);
	ga.addParam('sysparm_size', g_form.getValue('size'));
	ga.addParam('sysparm_weight', g_form.getValue('gross_kg'));
	ga.addParam('sysparm_hazard_class', g_form.getValue('hazard_class'));
	ga.getXMLAnswer(function(slotId) {
		if (slotId) {
			g_form.setValue('slot', slotId);
		}
	});
}
