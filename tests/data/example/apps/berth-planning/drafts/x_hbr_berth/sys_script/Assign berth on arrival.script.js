(function executeRule(current, previous /*null when async*/) {

    if (!current.berth.nil() || current.vessel.nil()) {
        return;
    }

    var arrival = new GlideDateTime(current.getValue('eta'));
    var length = parseFloat(current.vessel.length_overall);
    var draught = parseFloat(current.getValue('arrival_draught'));
    if (isNaN(length) || isNaN(draught)) {
        gs.addErrorMessage(gs.getMessage('Enter the length and the draught of the vessel first'));
        return;
    }
    // a free berth that is long and deep enough
    
})(current, previous);
