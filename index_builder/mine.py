"""Mine samples: each call of an indexed API, as the developer stood before it.

What the developer had not written yet is taken out: the call itself, lines after it that name the target,
and before it whatever imports, requires or defines the target in this file. The flags say which samples are
fair questions:

leak       the target's name, or a variable plainly named after it, stands in what is left before the call
clone      the same two lines before the same call stand in another file too
ambiguous  another API has the target's name, or the same window stands before a call of another API
usable     no leak, at least MIN_LINES lines before, and the first of several with the same window and target
balanced   usable, at most `per_target` a target and one a caller and target, chosen by seed
clean      balanced, and neither a clone nor ambiguous
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import accumulate
from pathlib import Path

from deepcodeseek.server import text
from deepcodeseek.server.types import Api

from .atomic import write_lines
from .cache import digest
from .extract import CallSite, Extracted
from .graph import Edge, Exports, Names, resolve_calls
from .packages import INSTALLED

MIN_LINES = 3
CLONE_LINES = 2
FOLDS = 5
MOST_TEXT = 100_000_000  # characters: each call of a file brings all of it along

_AFFIX = r"[_$]*"  # `_tide` and `$tide` are variables named after Tide
_IMPORT = re.compile(r"^[ \t]*import\b[^;'\"]*['\"][^'\"\n]*['\"][^\n]*\n?", re.M)
_REQUIRE = re.compile(r"^[^\n]*\b(?:require|goog\.requireType|goog\.forwardDeclare)\s*\([^\n]*\n?", re.M)
_REQUIRED_PARTS = re.compile(r"^[ \t]*(?:const|let|var)\s*\{[^{}]*\}\s*=\s*require\s*\([^\n]*\n?", re.M)
_TYPE_IMPORT = re.compile(r"^[ \t]*/?\*+[ \t]*@(?:typedef[ \t]*\{[^\n]*\bimport\(|import\b)[^\n]*\n?", re.M)
_BRINGING = (
    # a word without which there is no such statement, the statement
    ("import", _IMPORT),
    ("require", _REQUIRED_PARTS),
    ("require", _REQUIRE),
    ("forwardDeclare", _REQUIRE),
    ("import", _TYPE_IMPORT),
)
_DEFINE = re.compile(r"\b(?:sap\.ui\.define|define|require)\s*\(\s*(?:['\"][^'\"]*['\"]\s*,\s*)?\[")
_QUOTED = re.compile(r"[ \t]*(['\"])[^'\"\n]*\1\s*,?")
_DEFINE_HEAD = re.compile(r"\[[^\]]*\]\s*,\s*(?:async\s+)?(?:function\s*\w*\s*)?\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and its answer."""

    id: str
    project: str
    file: str
    record_type: str
    record_name: str
    table: str
    scope: str
    code_before: str
    code_middle: str
    code_after: str
    target: str
    target_file: str
    target_name: str
    method: str
    kind: str
    lines_before: int
    fold: int  # 0 .. FOLDS - 1, the same for all samples of a file
    leak: bool = False
    clone: bool = False
    ambiguous: bool = False
    usable: bool = False
    balanced: bool = False
    clean: bool = False


def mine(
    extracted: Sequence[Extracted], apis: Sequence[Api], exports: Exports, per_target: int, seed: int
) -> tuple[Sample, ...]:
    """The calls of APIs by other files, in the order of the files; the flags are set over all of them.

    Every one, but of a file whose calls and their surroundings would take more than MOST_TEXT: of that some.
    """
    names, by_name = Names(apis), {api.api_name: api for api in apis}
    drafts: dict[str, Sample] = {}
    for item in extracted:
        if INSTALLED not in item.script.path.split("/"):
            lines = _Lines(item.script.code)
            for edge in _affordable(tuple(resolve_calls(item, names, exports)), len(item.script.code)):
                draft = _sample(item, lines, edge, by_name[edge.api_name])
                if _record(drafts.get(draft.id, draft)) != _record(draft):  # as in an export of many records
                    draft = replace(draft, id=digest(draft.id, *_record(draft)).hex()[:12])
                drafts.setdefault(draft.id, draft)  # a statement that calls an API twice asks for it once
    return _flagged(
        tuple(drafts.values()), Counter(api.name.rpartition(".")[2] for api in apis), per_target, seed
    )


def _affordable(edges: Sequence[Edge], length: int) -> Sequence[Edge]:
    """Of the calls of a file of so many characters as many as MOST_TEXT allows, from all over it."""
    most = max(1, MOST_TEXT // max(1, length))
    return edges if len(edges) <= most else [edges[i * len(edges) // most] for i in range(most)]


def write_samples(samples: Iterable[Sample], out: Path) -> None:
    """JSON lines; `out` appears when all are written."""
    write_lines(out, (json.dumps(asdict(sample)) for sample in samples))


def _sample(item: Extracted, lines: _Lines, edge: Edge, api: Api) -> Sample:
    script, call = item.script, edge.call
    name = api.name.rpartition(".")[2]  # "sap.m.Bar" goes by its last part
    imported = _imported_as(item, call)
    before = without_imports(script.code[: call.start], (*imported, name))
    # Of a namespace the member is the target: what else is called on it does not tell which.
    is_member = "." in call.name or call.method == name
    told = (name,) if is_member else (*imported, name)
    place = digest(script.path, script.field, str(call.start), edge.api_name)
    return Sample(
        id=place.hex()[:12],
        project=script.package,
        file=script.path,
        record_type=script.record_type,
        record_name=script.record_name,
        table=script.table,
        scope=script.scope,
        code_before=before,
        code_middle=script.code[call.start : call.end],
        code_after=lines.untold_after(call.end, told),
        target=api.api_name,
        target_file=api.source,
        target_name=name,
        method=call.method,
        kind=call.kind,
        lines_before=sum(map(bool, map(str.strip, before.split("\n")))),
        fold=digest(script.path)[0] % FOLDS,
        leak=tells(before, told),
    )


def _record(sample: Sample) -> tuple[str, str]:
    return sample.record_type, sample.record_name


def _imported_as(item: Extracted, call: CallSite) -> tuple[str, ...]:
    """The local name that the call begins with, if it is imported: a global one is brought in by no line."""
    root = call.name.partition(".")[0]
    return (root,) if any(local == root for local, _, _ in item.imports) else ()


# Masking


def without_imports(before: str, names: Sequence[str]) -> str:
    """Without the statements that bring any of the names into the file."""

    def kept(found: re.Match[str]) -> str:
        return "" if any(_has_word(found.group(), name) for name in names) else found.group()

    for word, statement in _BRINGING:
        if word in before:  # a search for the statement takes much longer
            before = statement.sub(kept, before)
    define = _DEFINE.search(before) if "define" in before or "require" in before else None
    head = _DEFINE_HEAD.match(before, define.end() - 1) if define else None
    if head is None:
        return before
    return before[: head.start()] + _without_dependencies(head.group(), names) + before[head.end() :]


def _without_dependencies(head: str, names: Sequence[str]) -> str:
    """The head of an AMD module without the paths and the parameters of some names.

    A path belongs to the parameter at its place, whatever its last part is.
    """
    paths, opening, parameters = head.rpartition("(")
    pairs = zip(_QUOTED.finditer(paths), parameters.rstrip(")").split(","), strict=False)
    for path, parameter in reversed(list(pairs)):
        if parameter.strip() in names:
            paths = paths[: path.start()] + paths[path.end() :]
    head = paths + opening + parameters
    for name in names:
        quoted = re.escape(name)
        head = re.sub(rf"[ \t]*['\"](?:[^'\"\n]*/)?{quoted}(?:\.js)?['\"]\s*,?", "", head)
        head = re.sub(rf"(?<=[(,\s]){quoted}(?![\w$])\s*,?", "", head)
    return head


def _has_word(code: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", code) is not None


class _Lines:
    """The lines of a script, read once for all the calls in it."""

    def __init__(self, code: str) -> None:
        self._lower = code.lower()
        self._lines = code.split("\n")
        self._starts = _starts(self._lines)
        self._lower_starts = _starts(self._lower.split("\n"))  # some letters have two in lower case
        self._telling: dict[tuple[str, ...], frozenset[int]] = {}

    def untold_after(self, start: int, names: tuple[str, ...]) -> str:
        """What stands behind a place, without the lines that tell any of the names."""
        row = bisect_right(self._starts, start) - 1
        cut = self._lines[row][start - self._starts[row] :]
        telling = self._rows_telling(names)
        whole = (self._lines[r] for r in range(row + 1, len(self._lines)) if r not in telling)
        return "\n".join(whole if tells(cut, names) else (cut, *whole))

    def _rows_telling(self, names: tuple[str, ...]) -> frozenset[int]:
        if names not in self._telling:
            rows = (row for name in names for row in self._rows_with(_plain(name)))
            self._telling[names] = frozenset(row for row in rows if tells(self._lines[row], names))
        return self._telling[names]

    def _rows_with(self, plain: str) -> Iterator[int]:
        at = self._lower.find(plain)
        while at >= 0:
            row = bisect_right(self._lower_starts, at) - 1
            yield row
            at = self._lower.find(plain, self._lower_starts[row + 1])


def _starts(lines: Sequence[str]) -> list[int]:
    """Where each line begins, and where one behind the last would."""
    return list(accumulate((len(line) + 1 for line in lines), initial=0))


def tells(code: str, names: Sequence[str]) -> bool:
    """Whether any of the names stands in code, or a variable that is plainly named after one."""
    lower = code.lower()
    return any(name in lower and _telling(name).search(lower) is not None for name in map(_plain, names))


def _plain(name: str) -> str:
    return (name.strip("_$") or name).lower()


@cache
def _telling(plain: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$]){_AFFIX}{re.escape(plain)}{_AFFIX}(?![\w$])")


# Flags


def _flagged(
    drafts: Sequence[Sample], name_counts: Mapping[str, int], per_target: int, seed: int
) -> tuple[Sample, ...]:
    files, targets, seen = defaultdict(set), defaultdict(set), set()
    for draft in drafts:
        files[_clone_key(draft)].add(draft.file)
        targets[text.window_before(draft.code_before)].add(draft.target)
    flagged = []
    for draft in drafts:
        window = text.window_before(draft.code_before)
        is_first = (window, draft.target) not in seen
        seen.add((window, draft.target))
        flagged.append(
            replace(
                draft,
                clone=len(files[_clone_key(draft)]) > 1,
                ambiguous=name_counts[draft.target_name] > 1 or len(targets[window]) > 1,
                usable=is_first
                and not draft.leak
                and draft.lines_before >= MIN_LINES
                and draft.file != draft.target_file,  # where no API of the own file is a candidate
            )
        )
    chosen = set(_balanced(flagged, per_target, seed))
    return tuple(
        replace(s, balanced=s.id in chosen, clean=s.id in chosen and not (s.clone or s.ambiguous))
        for s in flagged
    )


def _clone_key(sample: Sample) -> tuple[str, str, str]:
    return text.window_before(sample.code_before, CLONE_LINES), sample.target, sample.method


def _balanced(samples: Iterable[Sample], per_target: int, seed: int) -> Iterator[str]:
    """Ids of the chosen: a file may ask for a target once, and a target is asked for a few times."""
    taken, counts = set(), Counter[str]()
    for sample in sorted(samples, key=lambda s: digest(str(seed), s.id)):
        pair = (sample.file, sample.target)
        if sample.usable and pair not in taken and counts[sample.target] < per_target:
            taken.add(pair)
            counts[sample.target] += 1
            yield sample.id
