"""XML of ServiceNow's source control -> records: a table, an action, and fields with their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a record."""

    text: str
    line: int  # 1-based line on which the text begins
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table, as a change to be applied: `action` may be DELETE."""

    table: str
    action: str
    fields: dict[str, Field] = field(default_factory=dict)

    def text(self, *names: str) -> str:
        """Of the first of these fields that says anything."""
        return next((t for n in names if n in self.fields and (t := self.fields[n].text.strip())), "")

    def attribute(self, name: str, attribute: str) -> str:
        """Of a field's element."""
        return self.fields[name].attributes.get(attribute, "") if name in self.fields else ""


def parse_records(text: str) -> tuple[Record, ...]:
    """The records below the root element. ValueError in one line where the XML is broken or refused."""
    reader = _Reader()
    try:
        reader.parser.feed(text)
        reader.parser.close()
    except ParseError as error:
        raise ValueError(f"broken XML: {error}") from error
    except DefusedXmlException as error:
        raise ValueError(f"refused XML: {type(error).__name__}, no record has a doctype") from error
    return tuple(reader.records)


class _Reader:
    """Target of the XML parser: root > record > field > text."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.parser = DefusedXMLParser(target=self, forbid_dtd=True)
        self._depth = 0
        self._text: list[str] = []
        self._line = 0
        self._attributes: dict[str, str] = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self.records.append(Record(tag, attributes.get("action", "")))
        elif self._depth == 3:
            # A start tag stands on one line in these files, so its text begins on that line too.
            self._line = self.parser.parser.CurrentLineNumber
            self._text, self._attributes = [], attributes

    def end(self, tag: str) -> None:
        if self._depth == 3:
            self.records[-1].fields[tag] = Field("".join(self._text), self._line, self._attributes)
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._depth >= 3:
            self._text.append(text)

    def close(self) -> None:
        """Nothing is left to do; the parser asks for it."""
