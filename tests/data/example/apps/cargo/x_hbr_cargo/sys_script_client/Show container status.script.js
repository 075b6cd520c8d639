function onChange(control, oldValue, newValue, isLoading, isTemplate) {
	if (isLoading || newValue === '') {
		return;
	}

	var ga = new GlideAjax('x_hbr_cargo.CargoAjax');
	ga.addParam('sysparm_name', 'getContainerStatus');
	ga.addParam('sysparm_number', newValue);
	ga.getXMLAnswer(function(answer) {
		if (answer === 'unknown') {
			g_form.showFieldMsg('container_number', getMessage('This container is not in the yard'), 'error');
			return;
		}
		g_form.setValue('slot', JSON.parse(answer).slot);
	});
}
