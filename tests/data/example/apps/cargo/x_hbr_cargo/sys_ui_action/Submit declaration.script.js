var customs = new CustomsDeclaration();
if (!customs.submit(current.getUniqueValue())) {
	var missing = customs.missingDocuments(current.getUniqueValue());
	gs.addErrorMessage(gs.getMessage('Documents are missing: {0}', [missing.join(', ')]));
}
action.setRedirectURL(current);
