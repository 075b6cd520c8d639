(function executeRule(current, previous /*null when async*/) {

	var containerId = current.getValue('container');
	if (!containerId) {
		return;
	}

	var bridge = new WeighbridgeReader();
	if (bridge.isOverweight(containerId)) {
		new ContainerTracker().hold(containerId, 'weight');
		new global.HarbourLog('Weighbridge').warn('Container is too heavy', { kg: bridge.verifiedMass(containerId) });
	}

})(current, previous);
