/**
 * Reads cargo manifests that agents send as delimited text.
 */
var ManifestParser = Class.create();
ManifestParser.prototype = {
	/**
	 * @param {string} [delimiter] - Character between columns, a semicolon when absent.
	 */
	initialize: function(delimiter) {
		this.delimiter = delimiter || ';';
		this.required = ['container', 'size', 'gross_kg'];
	},

	/**
	 * Splits the text into rows. The first line holds the column names.
	 *
	 * @param {string} text - The manifest.
	 * @returns {Object[]} One object a row.
	 */
	parse: function(text) {
		var lines = String(text).split(/\r?\n/).filter(function(line) {
			return line.trim() !== '';
		});
		if (lines.length === 0) {
			return [];
		}
		var delimiter = this.delimiter;
		var columns = lines.shift().split(delimiter);
		return lines.map(function(line) {
			var row = {};
			line.split(delimiter).forEach(function(cell, i) {
				row[columns[i].trim()] = cell.trim();
			});
			return row;
		});
	},

	/**
	 * Checks the rows.
	 *
	 * @param {Object[]} rows - Rows made by parse.
	 * @returns {string[]} Error texts, empty when the manifest is good.
	 */
	validate: function(rows) {
		var errors = [];
		var checker = new ContainerNumber();
		for (var i = 0; i < rows.length; i++) {
			for (var k = 0; k < this.required.length; k++) {
				if (!rows[i][this.required[k]]) {
					errors.push('Row ' + (i + 1) + ': ' + this.required[k] + ' is missing');
				}
			}
			if (!checker.isValid(rows[i].container)) {
				errors.push('Row ' + (i + 1) + ': container number is wrong');
			}
		}
		return errors;
	},

	/**
	 * Registers the containers of a manifest.
	 *
	 * @param {string} manifestId - Sys id of the manifest.
	 * @param {Object[]} rows - Checked rows.
	 * @returns {number} Number of containers.
	 */
	loadInto: function(manifestId, rows) {
		var registry = new ContainerRegistry();
		rows.forEach(function(row) {
			registry.register(row.container, {
				manifest: manifestId,
				size: row.size,
				gross_kg: row.gross_kg,
				un_number: row.un_number || ''
			});
		});
		return rows.length;
	},

	type: 'ManifestParser'
};
