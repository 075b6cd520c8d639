var gate = String(current.slot.gate);
var slots = new TruckSlots(gate);
if (slots.cancel(current.getUniqueValue())) {
	gs.addInfoMessage(gs.getMessage('The slot is free again'));
}
action.setRedirectURL('x_hbr_cargo_truck_booking_list.do');
