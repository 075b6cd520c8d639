var plate = current.getValue('truck_plate');
var release = new CargoRelease();
var blockers = release.blockers(current);

if (blockers.length > 0) {
	gs.addErrorMessage(gs.getMessage('The container is blocked: {0}', [blockers.join(', ')]));
} else {
	release.release(current, plate);
}
action.setRedirectURL(current);
