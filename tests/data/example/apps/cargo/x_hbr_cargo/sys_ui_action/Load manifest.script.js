var parser = new ManifestParser(current.getValue('delimiter'));
var rows = parser.parse(current.getValue('content'));

if (parser.validate(rows).length === 0) {
	var loaded = parser.loadInto(current.getUniqueValue(), rows);
	var weight = new global.ArrayTools().sumBy(rows, 'gross_kg');
	gs.addInfoMessage(gs.getMessage('{0} containers, {1}', [loaded, new global.NumberFormat().tonnes(weight)]));
	current.setValue('state', 'loaded');
	current.update();
}
action.setRedirectURL(current);
