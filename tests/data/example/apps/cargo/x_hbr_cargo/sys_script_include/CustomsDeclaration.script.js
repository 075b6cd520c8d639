/**
 * Customs declarations of containers.
 */
var CustomsDeclaration = Class.create();
CustomsDeclaration.prototype = {
	initialize: function() {
		this.table = 'x_hbr_cargo_declaration';
		this.documents = new global.PropertyReader('x_hbr_cargo.customs').list('documents');
	},

	/**
	 * Opens a declaration for a container.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @param {string} regime - 'import', 'export' or 'transit'.
	 * @returns {string} Sys id of the declaration.
	 */
	open: function(containerId, regime) {
		var gr = new GlideRecord(this.table);
		gr.initialize();
		gr.setValue('container', containerId);
		gr.setValue('regime', regime);
		gr.setValue('state', 'draft');
		return gr.insert();
	},

	/**
	 * Documents that are still missing.
	 *
	 * @param {string} declarationId - Sys id of the declaration.
	 * @returns {string[]} Kinds of documents.
	 */
	missingDocuments: function(declarationId) {
		var present = new global.QueryBuilder('x_hbr_cargo_document')
			.where('declaration', '=', declarationId)
			.collect('kind');
		return new global.ArrayTools().difference(this.documents, present);
	},

	/**
	 * Submits a complete declaration to customs.
	 *
	 * @param {string} declarationId - Sys id of the declaration.
	 * @returns {boolean} False while documents are missing.
	 */
	submit: function(declarationId) {
		var gr = new GlideRecord(this.table);
		if (!gr.get(declarationId) || this.missingDocuments(declarationId).length > 0) {
			return false;
		}
		gr.setValue('state', 'submitted');
		gr.setValue('submitted_on', new GlideDateTime());
		return !!gr.update();
	},

	/**
	 * Tells whether customs has cleared a container.
	 *
	 * @param {string} containerId - Sys id of the container.
	 * @returns {boolean} True when a cleared declaration exists.
	 */
	isCleared: function(containerId) {
		var gr = new GlideRecord(this.table);
		gr.addQuery('container', containerId);
		gr.addQuery('state', 'cleared');
		gr.setLimit(1);
		gr.query();
		return gr.hasNext();
	},

	type: 'CustomsDeclaration'
};
