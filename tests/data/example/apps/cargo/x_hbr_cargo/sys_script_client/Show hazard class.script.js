function onChange(control, oldValue, newValue, isLoading, isTemplate) {
	if (isLoading || newValue === '') {
		return;
	}

	var lookup = new GlideAjax('CargoAjax');
	lookup.addParam('sysparm_name', 'getHazardClass');
	lookup.addParam('sysparm_un', newValue);
	lookup.getXMLAnswer(function(hazardClass) {
		g_form.setValue('hazard_class', hazardClass);
		g_form.setMandatory('hazard_contact', hazardClass !== '');
	});
}
