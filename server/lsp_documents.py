"""Documents as the editor sees them: pygls' own lose count of lines at the first U+2028."""

from __future__ import annotations

from itertools import pairwise

from lsprotocol import types as lsp
from pygls.workspace import TextDocument, Workspace

from .documents import line_starts, offset_at


class Document(TextDocument):
    """A text document that counts lines as LSP does."""

    @property
    def lines(self) -> tuple[str, ...]:
        starts = [*line_starts(self.source), len(self.source)]
        return tuple(self.source[a:b] for a, b in pairwise(starts))

    @property
    def encoding(self) -> str:
        return str(self.position_codec.encoding)

    def offset_at_position(self, client_position: lsp.Position) -> int:
        text, position = self.source, client_position
        return offset_at(text, line_starts(text), position.line, position.character, self.encoding)

    def _apply_incremental_change(self, change: lsp.TextDocumentContentChangePartial) -> None:
        start = self.offset_at_position(change.range.start)
        end = max(start, self.offset_at_position(change.range.end))
        self._source = self.source[:start] + change.text + self.source[end:]


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
