"""Documents as the editor sees them: pygls' own lose count of lines at the first U+2028."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from lsprotocol import types as lsp
from pygls.workspace import TextDocument, Workspace

from .documents import Starts, edited_starts, line_starts, offset_at


class Document(TextDocument):
    """A text document that counts lines as LSP does, and not anew with each edit."""

    _counted: tuple[str, Starts] | None = None  # a text and its line starts

    @property
    def lines(self) -> tuple[str, ...]:
        text = self.source
        return tuple(text[a:b] for a, b in pairwise([*self.starts(text).tolist(), len(text)]))

    @property
    def encoding(self) -> str:
        return str(self.position_codec.encoding)

    def starts(self, text: str) -> Starts:
        """Offsets at which the lines of its text, or of one it had before, begin; from any thread."""
        counted = self._counted
        if counted is None or counted[0] is not text:
            counted = text, np.array(line_starts(text), np.int64)
            if self._source is text:
                self._counted = counted
        return counted[1]

    def offset_at_position(self, client_position: lsp.Position) -> int:
        text, position = self.source, client_position
        return offset_at(text, self.starts(text), position.line, position.character, self.encoding)

    def _apply_incremental_change(self, change: lsp.TextDocumentContentChangePartial) -> None:
        old = self.source
        start = self.offset_at_position(change.range.start)
        end = max(start, self.offset_at_position(change.range.end))
        new = old[:start] + change.text + old[end:]
        self._counted = new, edited_starts(self.starts(old), old, new, start, end)
        self._source = new


class DocumentWorkspace(Workspace):
    """A workspace of such documents."""

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> Document:
        return Document(
            doc_uri,
            source,
            version,
            language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )
