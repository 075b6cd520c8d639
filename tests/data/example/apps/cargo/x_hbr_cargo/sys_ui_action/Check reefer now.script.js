var monitor = new x_hbr_cargo.ReeferMonitor();
var reading = monitor.lastReading(current.getUniqueValue());
if (isNaN(reading)) {
	gs.addErrorMessage(gs.getMessage('There is no reading of this container'));
} else if (monitor.isOutOfRange(current)) {
	monitor.raiseAlarm(current);
}
action.setRedirectURL(current);
