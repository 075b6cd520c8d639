var yard = new GlideRecord('x_hbr_cargo_yard');
yard.addQuery('hazardous', true);
yard.query();
if (yard.next()) {
	var planner = new HazardousYardPlanner(yard.getUniqueValue());
	var slotId = planner.findSlot(current.getValue('size'), current.getValue('gross_kg'), current.getValue('hazard_class'));
	if (slotId) {
		new ContainerTracker().move(current.getUniqueValue(), slotId, 'segregation');
	}
}
action.setRedirectURL(current);
