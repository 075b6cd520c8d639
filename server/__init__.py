"""Everything needed at query time: from the text around a cursor to ranked APIs, and the language server."""

__version__ = "0.1.0"
