"""Inputs for the parsers: seeds of each shape, and what makes other inputs of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from conftest import EXAMPLE
from test_sources import FLUENT, cdata, document, record, row, unload, update
from test_tags import TAGS

MAX_BYTES = 60_000  # of one input
_RARELY = 0.02  # an input that is deep or long
# fmt: off
_TOKENS = (
    b"<", b">", b"&amp;", b"&#0;", b"&#xD800;", b"<![CDATA[", b"]]>", b"<!--", b"<!DOCTYPE a [",
    b"<?xml ?>", b'"',
    b"{", b"}", b"(", b")", b"[", b"]", b"`", b"${", b"/*", b"/** ", b"*/", b"//", b"\n", b"\r", b"\0", b"=>",
    b"function ", b"class ", b"new ", b"export ", b"import ", b"interface ", b"namespace ", b"declare ",
    b"@param {",
    b"@class ", b"@memberof ", b"{@link ", b".prototype", b"Object.extendsObject(", b"a.", b"!", b"**/",
    b"\\",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", "😀\u2028ü\u0301".encode(), b"\x85", b"null", b"1e999",
    b"\\ud800",
)
# fmt: on


def _script(pattern: str) -> bytes:
    return sorted(EXAMPLE.rglob(pattern))[0].read_bytes()


def _records() -> tuple[bytes, ...]:
    paths = sorted(EXAMPLE.rglob("update/*.xml"))
    by_table = {path.name.rpartition("_")[0]: path for path in paths}
    return tuple(path.read_bytes() for path in by_table.values())


def _update_sets() -> tuple[bytes, ...]:
    payload = record("sys_script_include", name="A", api_name="x_a.A", script=cdata("var A = {b() {}};"))
    deleted = document(row("sys_metadata_delete", sys_update_name="sys_script_include_a"), "x")
    kinds = (cdata(payload), payload.replace("<", "&lt;"), cdata(deleted))
    sets = [unload(update(kind, name="sys_script_include_a")) for kind in kinds]
    whole = unload(row("sys_script", name="S", script="current.update();"), update(kinds[0], action="DELETE"))
    return tuple(text.encode() for text in (*sets, whole))


_CODE = (
    *(code.encode() for code, _ in TAGS.values()),
    b"var X = Class.create();\nX.prototype = Object.extendsObject(Base, {\n  /** a */ b: function(c) {\n"
    b"    var ga = new GlideAjax('Y'); ga.addParam('sysparm_name', 'z'); "
    b"this.getParameter('sysparm_q');\n  },\n"
    b"  type: 'X'\n});\n",
    b"import d, {e as f} from './g';\nexport default class H extends d.I { #j; static async *k([l, "
    b"{m}]) {} }\n"
    b"const n = require('n').o; module.exports = {p: n, q() {}};\n",
    b"define(['a'], function(a) { return {b: a}; });\n(function(root) { root.X = function() {}; })(this);\n",
)
_TYPES = (
    b"declare namespace A.B { function c<T>(d: T, ...e: string[]): Promise<T>; const f: { g(): void } & "
    b"H; }\n",
    b"export interface I extends J<K> { (a?: number): void; new (b: string): I; readonly [c: string]: "
    b"unknown; }\n"
    b"export type L = I | { m: typeof import('n').o };\ndeclare module 'p' { export = q; }\n",
    b"abstract class R { private constructor(public s = 1) { super(); } abstract t(): asserts u is "
    b"string; }\n"
    b"enum V { W = 'x' }\n@y() export default class Z<in out T> {}\ndeclare global { var aa: bigint }\n",
)
_TSX = (b"export const A = (p: {b: string}) => <div {...p}>{c.map(d => <E key={d} />)}</div>;\n",)
_MANIFESTS = (
    {"name": "@a/b", "dependencies": {"typed": "1", "@o/p": "1"}, "main": "./c", "types": "d.d.ts"},
    {"exports": {".": [{"types": "./lib/index.d.ts", "default": "./lib/*.js"}]}, "main": "lib"},
    {"scope": "x_app", "scopeId": "a" * 32, "name": "App"},
    {"x_app": "a" * 32, "global": "global", "sn_b": {"sys_script_include": {"records": {"A": {}}}}},
)
_IGNORED = (
    b"/build\r\n*.gen.js\n!keep.js\nlogs/\n# c\n!\n\\\n/docs/*\n",
    b"**/a/**\n[a-z]*.js\n[!b]?\n\\#x\n a \n**\n/**/\n[]-]\n***\n[[:alpha:]]\n",
)
_COMMENTS = (
    b"One.\n@param {{a: {b: string}}} [c.d=1] - e {@link f|g}\n@returns {Promise<X>} it\n@example\n  "
    b"h();\n@since 1",
    b"@deprecated use `i` <b>x</b> ![j](k)\n@throws {L} m\n@arg n {string} o\n@type {P}\n@lends Q.prototype",
    b"/**\n * a\n * ---\n * @class R\n * @memberof S#t\n */\n// eslint-disable\n",
)
_TEXTS = ("a = 'ü€';\n", '<?xml version="1.0" encoding="utf-7"?><a/>\n')
_ENCODINGS = ("utf-8", "utf-16", "cp1252", "utf-8-sig")
_CURSORS = (
    b"apps/a/update/sys_script_include_"
    + b"0" * 32
    + b".xml\n<script><![CDATA[var a = new X.\xff y();]]></script>",
    b"x_app/sys_script/Rule.script.js\nimport * as n from 'm';\nn.\xff\nga = new GlideAjax('A",
    b"x_app/sp_widget/W/client_script.js\n" + b"a.b.c(" * 50 + b"\xff)",
)

SEEDS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "records": _records(),
        "update sets": _update_sets(),
        "javascript": (*_CODE, *(path.read_bytes() for path in sorted(EXAMPLE.rglob("*.js")))),
        "typescript": (*_TYPES, *_CODE, *(path.read_bytes() for path in sorted(EXAMPLE.rglob("*.ts")))),
        "tsx": (*_TSX, *_TYPES),
        "declarations": _TYPES,
        "fluent": (FLUENT.encode(),),
        "manifests": tuple(json.dumps(content).encode() for content in _MANIFESTS),
        "gitignore": _IGNORED,
        "encodings": tuple(text.encode(name) for text in _TEXTS for name in _ENCODINGS),
        "comments": (*_COMMENTS, *(code.encode() for code, _ in TAGS.values())),
        "cursors": _CURSORS,
    }
)  # fmt: skip


def mutated(target: str, data: bytes, rng: random.Random) -> bytes:
    """The input with one to six changes of all kinds."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        change = rng.choice(_DEEP if rng.random() < _RARELY else _CHANGES)
        data = change(data, SEEDS[target], rng)[:MAX_BYTES]
    return data


def any_input(target: str, rng: random.Random) -> bytes:
    """A seed, changed."""
    return mutated(target, rng.choice(SEEDS[target]), rng)


# Changes

_Change = Callable[[bytes, tuple[bytes, ...], random.Random], bytes]


def _part(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 8, 40, 400)))


def _flipped(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return (
        data[:start] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[start:end][:3]) + data[start + 3 :]
    )


def _deleted(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _doubled(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:]


def _moved(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    to = rng.randint(0, start)
    return data[:to] + data[start:end] + data[to:start] + data[end:]


def _with_token(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + rng.choice(_TOKENS) + data[rng.choice((start, end)) :]


def _spliced(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def _noise(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + rng.randbytes(rng.randint(1, 12)) + data[end:]


def _encoded(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-16-le", "cp1252", "utf-8-sig", "utf-7")), "replace")


def _deep(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, _ = _part(data, rng)
    token = b"".join(rng.choice(_TOKENS) for _ in range(rng.choice((1, 1, 2, 3))))
    return data[:start] + token * (rng.choice((300, 3_000, MAX_BYTES)) // len(token)) + data[start:]


def _long(data: bytes, seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    part = data[start:end] or b"a"
    return data[:start] + part * (rng.choice((3_000, MAX_BYTES)) // len(part)) + data[end:]


_CHANGES: tuple[_Change, ...] = (_flipped, _deleted, _doubled, _moved, _with_token, _spliced, _noise) * 3 + (
    _encoded,
)
_DEEP: tuple[_Change, ...] = (_deep, _long)
