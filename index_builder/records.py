"""XML of ServiceNow -> records: a table, an action, and fields with their place.

One reader for all that ServiceNow writes: an application in source control (`record_update`), an exported
list (`unload`), and an exported update set, an `unload` in which each record is the text of another
document. Whatever the size of the file, only the record being read is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

DELETE = "DELETE"
# A comment ends at its first `-->`: to try the next ones too takes twice as long with each comment.
_ROOT = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?(?:(?><!--.*?-->)\s*)*+<(?:record_update|unload)[\s/>]", re.S)


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a record."""

    text: str
    line: int  # 1-based line on which the text begins
    attributes: Mapping[str, str]
    is_cut: bool = False  # longer than the limit, and so without its text


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table, as a change to be applied: `action` may be DELETE."""

    table: str
    action: str
    fields: dict[str, Field] = field(default_factory=dict)
    problem: str = ""  # why there is nothing in it

    def text(self, *names: str) -> str:
        """Of the first of these fields that says anything."""
        return next((t for n in names if n in self.fields and (t := self.fields[n].text.strip())), "")

    def attribute(self, name: str, attribute: str) -> str:
        """Of a field's element."""
        return self.fields[name].attributes.get(attribute, "") if name in self.fields else ""


def is_record_file(head: str) -> bool:
    """Whether a file that begins like this holds records, and is no other people's XML."""
    return _ROOT.match(head) is not None


def read_records(chunks: Iterable[str], limit: int) -> Iterator[Record]:
    """The records of a document as it is read; fields of more than `limit` characters lose their text.

    ValueError in one line where the XML is broken or refused; what comes before has been given by then.
    """
    for record in _raw_records(chunks, limit):
        if record.table == "sys_update_xml" and record.action != DELETE:
            yield from _update(record, limit)
        elif record.table == "sys_metadata_delete":
            yield _deletion(record)
        else:
            yield record


def _raw_records(chunks: Iterable[str], limit: int, first_line: int = 1) -> Iterator[Record]:
    reader: _Reader | None = None
    for chunk in chunks:
        if reader is None:  # what stands before `<?xml` is an error to the parser
            text = chunk.lstrip()
            first_line += chunk[: len(chunk) - len(text)].count("\n")
            chunk = text
        if chunk:
            reader = reader or _Reader(limit, first_line)
            problem = reader.feed(chunk)
            yield from reader.take()
            if problem:
                raise ValueError(problem)
    reader = reader or _Reader(limit, first_line)
    problem = reader.feed("")
    yield from reader.take()  # the parser may have waited for the end
    if problem:
        raise ValueError(problem)


# Update sets


def _update(update: Record, limit: int) -> Iterator[Record]:
    """The records in the payload; a deletion is known by its name too. Too long, it stays as it is."""
    name = update.text("name")
    is_deletion = update.text("action") == DELETE
    if is_deletion:
        yield _deleted_by_name(name, update)
    payload = update.fields.get("payload", Field("", 0, {}))
    if payload.is_cut:
        yield update
    elif payload.text.strip():
        try:
            for record in _raw_records([payload.text], limit, payload.line):
                record = _deletion(record) if record.table == "sys_metadata_delete" else record
                yield replace(record, action=DELETE) if is_deletion else record
        except ValueError as error:
            yield Record(update.table, "", problem=f"payload of {name}: {error}")


def _deletion(record: Record) -> Record:
    """Of a `sys_metadata_delete`: the deleted row, as far as it is named."""
    if record.text("sys_update_name"):
        return _deleted_by_name(record.text("sys_update_name"), record)
    table = record.attribute("sys_db_object", "name") or record.text("sys_db_object")
    return _deleted(table, record.text("sys_metadata"), record)


def _deleted_by_name(name: str, record: Record) -> Record:
    table, _, sys_id = name.rpartition("_")
    return _deleted(table, sys_id, record)


def _deleted(table: str, sys_id: str, record: Record) -> Record:
    when = {"sys_updated_on": record.fields["sys_updated_on"]} if "sys_updated_on" in record.fields else {}
    return Record(table, DELETE, {"sys_id": Field(sys_id, 0, {}), **when})


class _Reader:
    """Target of the XML parser: root > record > field > text."""

    def __init__(self, limit: int, first_line: int) -> None:
        self.parser = DefusedXMLParser(target=self, forbid_dtd=True)
        self._limit = limit
        self._first_line = first_line
        self._done: list[Record] = []
        self._record = Record("", "")
        self._depth = self._length = self._line = 0
        self._text: list[str] = []
        self._attributes: dict[str, str] = {}

    def feed(self, text: str) -> str:
        """Read on, to the end where there is no more text. Returns what is wrong with it, or nothing."""
        try:
            self.parser.feed(text) if text else self.parser.close()
        except ParseError as error:
            return f"broken XML: {error}"
        except DefusedXmlException as error:
            return f"refused XML: {type(error).__name__}, no record has a doctype"
        return ""

    def take(self) -> list[Record]:
        """The records completed since the last time."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._record = Record(tag, attributes.get("action", ""))
        elif self._depth == 3:
            # A start tag stands on one line in these files, so its text begins on that line too.
            self._line = self.parser.parser.CurrentLineNumber + self._first_line - 1
            self._text, self._length, self._attributes = [], 0, attributes

    def end(self, tag: str) -> None:
        if self._depth == 3:
            is_cut = self._length > self._limit
            text = "" if is_cut else "".join(self._text)
            self._record.fields[tag] = Field(text, self._line, self._attributes, is_cut)
        elif self._depth == 2:
            self._done.append(self._record)
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._depth >= 3:
            self._length += len(text)
            if self._length <= self._limit:
                self._text.append(text)

    def close(self) -> None:
        """Nothing is left to do; the parser asks for it."""
