var registry = new ContainerRegistry();
var numbers = registry.numbersOfBill(current.getValue('number'));
gs.addInfoMessage(numbers.join(', '));
action.setRedirectURL(current);
