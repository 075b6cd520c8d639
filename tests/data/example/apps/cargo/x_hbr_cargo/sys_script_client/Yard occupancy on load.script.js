function onLoad() {
	if (g_form.isNewRecord()) {
		return;
	}

	var ga = new GlideAjax('YardAjax');
	ga.addParam('sysparm_name', 'getOccupancy');
	ga.addParam('sysparm_yard', g_form.getUniqueValue());
	ga.getXMLAnswer(function(percent) {
		g_form.addInfoMessage(getMessage('Occupancy of this yard:') + ' ' + percent);
	});
}
