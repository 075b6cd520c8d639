(function executeRule(current, previous /*null when async*/) {

	var text = current.getValue('content');
	if (!text) {
		return;
	}

	var parser = new ManifestParser(current.getValue('delimiter'));
	var rows = parser.parse(text);
	var errors = parser.validate(rows);
	current.setValue('row_count', rows.length);
	current.setValue('state', errors.length > 0 ? 'rejected' : 'accepted');
	current.setValue('errors', errors.join('\n'));

})(current, previous);
