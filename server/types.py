"""The values that flow along the query path: context -> expand -> retrieve -> rerank.

All of them are frozen and slotted, collections are tuples: a stage takes values and returns new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DocOrigin = Literal["written", "synthesized", "none"]
"""Where an API's documentation comes from: comments in its source, its code and names, or nowhere."""

ApiKind = Literal["script_include", "class", "function", "object"]

Side = Literal["", "client", "server"]
"""Where a script runs: in the browser, on the instance, or not known."""


QueryForm = Literal["code", "description"]
"""What a generator adds to a query: code that could follow, or what comes next in one sentence."""

Ending = Literal["statement", "sentence"]
"""Where what a generator writes has come to its end."""

PromptForm = Literal["plain", "instruct", "fim"]
"""Text to go on with, a turn of a chat, or text with a gap to fill in."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator is asked, in the parts that the forms of prompts are made of."""

    text: str  # it goes on behind this
    end: Ending
    task: str = ""  # what is wanted, for a model that is used to be told
    after: str = ""  # what stands behind the gap, for a model that fills one in
    begun: int = 0  # characters at the end of `text` that are a part of the statement


@dataclass(frozen=True, slots=True)
class Method:
    """One callable member of an API."""

    name: str
    params: tuple[str, ...] = ()
    doc: str = ""  # comment text without its comment marks; tags (@param ...) kept, one per line
    line: int = 0  # 1-based line in the source file
    is_static: bool = False
    is_private: bool = False  # declared so, or by convention: a leading underscore, @private
    types: tuple[str, ...] = ()  # declared type of each parameter, "" where it has none; () where none has
    returns: str = ""  # declared type, or that of its @returns
    synthesized: str = ""  # documentation made from its code, where none was written
    sysparms: tuple[str, ...] = ()  # request parameters that it reads, where it answers GlideAjax

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(self.params)})"


@dataclass(frozen=True, slots=True)
class Api:
    """One class-level API: what a prediction names."""

    api_name: str  # as the record writes it ("scope.Name"), or "package/module.Name"
    name: str
    kind: ApiKind
    scope: str = ""
    package: str = ""
    access: str = ""  # "public", "package_private", or "" where the record states none
    caller_access: str = ""  # "restricted" to scopes that were let in, "tracked", or ""
    client_callable: bool = False
    extends: str = ""
    params: tuple[str, ...] = ()  # of the constructor, or of the function itself
    types: tuple[str, ...] = ()  # of these parameters, as in Method
    returns: str = ""  # of the function itself
    methods: tuple[Method, ...] = ()
    doc: str = ""
    doc_origin: DocOrigin = "none"
    synthesized: str = ""  # as in Method; with an example from a known usage
    inferred: tuple[str, ...] = ()  # what no record and no manifest states of it
    source: str = ""  # path relative to the workspace, with forward slashes
    line: int = 0  # 1-based
    code: str = ""
    id: int = -1  # row in the index; -1 before it is indexed


@dataclass(frozen=True, slots=True)
class Unresolved:
    """What the statement at the cursor defines, and what is used after it and nothing in the file defines."""

    names: tuple[str, ...] = ()  # in order of appearance
    receivers: frozenset[str] = frozenset()  # those of them that are defined here, or methods are called on
    members: tuple[str, ...] = ()  # the methods


@dataclass(frozen=True, slots=True)
class Context:
    """What is known at the cursor."""

    before: str  # text before the cursor, whole
    after: str  # text after the cursor, whole
    window: str  # the last lines before the cursor that hold anything, without the typed prefix
    window_after: str  # the first lines after the cursor that hold anything
    prefix: str = ""  # the identifier being typed
    qualifier: str = ""  # what stands before it and its dot, such as a scope
    file: str = ""  # relative to the workspace; "" when unknown
    scope: str = ""
    package: str = ""
    record_type: str = ""
    record_name: str = ""  # or a module's
    field: str = ""  # of the record, that holds the script
    side: Side = ""
    table: str = ""
    trigger: Literal["", "new", "ajax"] = ""  # what stands right before the typed prefix
    function: str = ""  # that the cursor stands in, where it has a name
    unresolved: Unresolved = Unresolved()
    used: tuple[str, ...] = ()  # names used elsewhere in the file, in order of appearance


@dataclass(frozen=True, slots=True)
class ExpandedQuery:
    """The context and what a generator adds to it: the code that could follow, or a description of it."""

    context: Context
    code: str = ""
    source: Literal["llm", "cache", "none"] = "none"


@dataclass(frozen=True, slots=True)
class Usage:
    """A known call of an API in some file."""

    api_id: int
    file: str
    line: int  # 1-based
    method: str
    context: str  # the lines before the call
    statement: str
    caller: str = ""  # name of the record or module that holds the call


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one signal says of a candidate."""

    signal: str
    rank: int  # 1 is best; 0 where the signal did not rank the candidate
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An API with all that speaks for it."""

    api_id: int
    score: float
    evidence: tuple[Evidence, ...] = ()
    usage: Usage | None = None  # the nearest known usage


@dataclass(frozen=True, slots=True)
class RankedApi:
    """An answer's item: enough to explain itself in a hover."""

    api: Api
    score: float
    evidence: tuple[Evidence, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage took and what there is to say of it."""

    stage: str
    ms: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """Which index answered, and each stage in order."""

    index_id: str
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A value and its problems, never one or the other."""

    ranked: tuple[RankedApi, ...] = ()
    trace: Trace = field(default_factory=lambda: Trace(""))
