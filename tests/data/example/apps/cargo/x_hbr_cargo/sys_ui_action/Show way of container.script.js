var tracker = new ContainerTracker();
var steps = tracker.history(current.getUniqueValue());
steps.slice(0, 10).forEach(function(step) {
	gs.addInfoMessage(step.when + ': ' + step.from + ' > ' + step.to + ' (' + step.reason + ')');
});
action.setRedirectURL(current);
