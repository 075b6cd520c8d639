var calculator = new DemurrageCalculator();
var left = calculator.freeDaysLeft(current);
if (left > 0) {
	gs.addInfoMessage(gs.getMessage('{0} free days are left', [left]));
} else {
	var due = calculator.charge(current);
	gs.addInfoMessage(gs.getMessage('Demurrage to date: {0}', [new global.NumberFormat().money(due)]));
}
action.setRedirectURL(current);
