var registry = new ContainerRegistry();
if (current.getValue('state') == 'released' && registry.exists(current.getValue('number'))) {
	registry.retire(current.getValue('number'), gs.getMessage('Returned to the owner'));
} else {
	gs.addErrorMessage(gs.getMessage('Only released containers can be retired'));
}
action.setRedirectURL('x_hbr_cargo_container_list.do');
