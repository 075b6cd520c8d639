"""Where a cursor stands, as tables of text before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcodeseek.server.cursor import call_at, cursor_at, end_of_name, mention_at

KINDS = {
    "start": """
||var x = ||f(||f(a, ||[||[a, ||a ? ||a ? b : ||case ||else ||return ||typeof ||!||a &&||...||f(...||() => |
|if (x) ||if (x)\\n||foo\\n||foo()\\n||}\\n||{ a: ||() => {||function f() {||function f(a = ||class A { m() {|
|`a ${||x = /a'/; ||a /b||it('x', function() {\\n||x = 'a'\\n||/* ' */ ||label: |
|Be|""",
    "none": """
|// a new ||/* new ||'new ||"||`a ||/re||x = /'a||foo ||foo() ||'a' ||a[0] ||12||0xf||3.||1e||'a'.||var |
|let a, b||const {||function ||function f(||function f(a, ||catch (||class ||class A {||class A { m() {} |
|x = {||x = {a: 1, ||f({||import ||this.#||foo('Ab||require('./||ga.addParam('sysparm_x', '||ga.addParam('|
|break ||var a\\n, b |""",
    "new": "|new ||x = new Be||return new ||new\\n|",
    "class": "|class A extends ||x instanceof Be||A.prototype = Object.extendsObject(|",
    "import": "|import { ||import Def, { a, |",
    "member": "|u.||u.fi||this.util.||a.b(c).d.||new X(1, 'b').||(new X()).||x\\n  .y||x?.||new global.Be|",
    "ajax": "|new GlideAjax('||new GlideAjax(\"x_app.Na||new GlideAjax( 'Be|",
    "sysparm": "|ga.addParam('sysparm_name', '||this.ga.addParam(\"sysparm_name\",\"get|",
    "include": "|gs.include('||gs.include(\"Ab|",
}
TABLE = [
    (kind, text.replace("\\n", "\n"))
    for kind, texts in KINDS.items()
    for text in "".join(texts.splitlines()).strip("|").split("||")
]


NEWER = [  # types of TypeScript, elements of JSX, and what looks like them
    *(
        ("start", before)
        for before in (
            "foo(cond ? function () {\n" + "  a();\n" * 120 + "} : Fo",
            "f(x, a ? [" + "'ab', " * 150 + "] : Fo",
            "(cond ? load(`" + "x" * 600 + "`) : Fo",
            *("x=a?(b):Fo", "foo(a?[]:Fo", "foo(opts?{}:Fo", "x = a?.5:Fo", "x = a ? b : Map<Fo"),
            *("while (i++ < Fo", "flags |= 1 << Fo", "a! < Fo", "x.in < Fo", "if (x.default < Fo"),
            *("if (Total<Fo", "for (var I = 0; I<Fo", "foo(A<b, Fo", "MAX<limit\nFo", "a = b\n  as\nFo"),
        )
    ),
    *(
        ("class", before)
        for before in ("let x: a.B<Fo", "f(a: Map<string, Fo", "x as Map<Fo", "<div><Fo", "() => <Fo")
    ),
    ("class", "function long(a) {\n" + "  a();\n" * 120 + "}\nfunction f(a: Fo"),
    ("class", "const x: Fo"),
    ("class", "let x: Map<Fo"),
    ("class", "new Map<string, Fo"),
    ("class", "const {a, b}: Fo"),
    ("class", "function f(a: Fo"),
    ("class", "function f(a?: Fo"),
    ("class", "function f(a, b: Fo"),
    ("class", "(a: string, b: Fo"),
    ("class", "constructor(private s: Fo"),
    ("class", "class A {\n  private h: Fo"),
    ("class", "class A { m(a: B): Fo"),
    ("class", "function f(): Fo"),
    ("class", "const f = (a): Fo"),
    ("class", "x as Fo"),
    ("class", "x satisfies Fo"),
    ("class", "class A implements Fo"),
    ("class", "return <Fo"),
    ("class", "const a = <Fo"),
    ("class", "(\n  <Fo"),
    ("start", "a < Fo"),
    ("start", "if (a <Fo"),
    ("start", "for (i = 0; i < Fo"),
    ("start", "module.exports = {\n  a: Fo"),
    ("start", "foo({ a: Fo"),
    ("start", "const x = { a: Fo"),
    ("start", "x ? y : Fo"),
    ("start", "x = a\n  ? f()\n  : Fo"),
    ("start", "f(x ? y : Fo"),
    ("start", "f(x, a ? g(1, 2) : Fo"),
    ("start", "f(a ?? b, c ? d : Fo"),
    ("start", "[a ? b : Fo"),
    ("start", "const x = y ? { a: 1 } : Fo"),
    ("start", "switch (x) { case f(1): Fo"),
    ("start", "switch (x) { case 1: {\n  Fo"),
    ("start", "switch (x) { default: {\n  Fo"),
    ("start", "class A { x = Fo"),
    ("start", "type X = Fo"),
    ("start", "const a = <ul>{xs.map(x => <li>{x}</li>)}</ul>;\nFo"),
    ("start", "<li>a</li>{Fo"),
    ("start", "const { a } = b as { c: 1 };\nFo"),
    ("none", "export default {\n  na"),
    ("none", "module.exports = { default: {\n  na"),
    ("none", "throw {\n  na"),
    ("none", "export class A {\n  na"),
    ("none", "import * as Fo"),
    ("none", "import { a as Fo"),
    ("none", "export { a as Fo"),
    ("import", "export { Fo"),
    ("import", "export {a, Fo"),
    ("import", "export type { Fo"),
]


BEHIND_DOTS = [
    # before the cursor, whether a class is named there and not made
    *((before, True) for before in ("class A extends ns.Fo", "x instanceof ns.Fo", "let a: ns.Fo", "ns?.Fo")),
    ("A.prototype = Object.extendsObject(global.Fo", True),
    *((before, False) for before in ("a = ns.Fo", "ns.Fo", "f(ns.Fo", "new ns.Fo", "x = a ? b : ns.Fo")),
]


@pytest.mark.parametrize(("before", "is_named"), BEHIND_DOTS)
def test_a_class_that_is_named_behind_a_dot(before: str, is_named: bool) -> None:
    cursor = cursor_at(before)
    assert (cursor.kind, cursor.is_named) == ("member", is_named)
    assert before[cursor.receiver_start :].startswith(cursor.receiver)


@pytest.mark.parametrize(("kind", "before"), [*TABLE, *NEWER, ("start", "")])
def test_where_an_api_can_stand(kind: str, before: str) -> None:
    assert cursor_at(before).kind == kind


RECEIVERS = [
    # text before the cursor, receiver, typed prefix
    ("u.fi", "u", "fi"),
    ("x = this.util.", "this.util", ""),
    ("a.b(c, 'd').e.", 'a.b(c, " ").e', ""),
    ("return new X(1).", "new X(1)", ""),
    ("(new X()).", "(new X())", ""),
    ("x = a\n  .b()\n  .", "a\n  .b()", ""),
    ("x = new global.Be", "new global", "Be"),
    ("if (x) y?.z", "y", "z"),
    ("new GlideAjax('x_app.Na", "x_app", "Na"),
    ("[u].map(v => v.", "v", ""),
    ("a[b].", "a[b]", ""),
]


@pytest.mark.parametrize(("before", "receiver", "prefix"), RECEIVERS)
def test_what_a_name_belongs_to(before: str, receiver: str, prefix: str) -> None:
    cursor = cursor_at(before)
    assert (cursor.receiver, cursor.prefix) == (receiver, prefix)


CALLS = [
    # text before the cursor, what is called, which argument is written
    ("f(", "f", 0),
    ("f(a, ", "f", 1),
    ("f(a, g(b, ", "g", 1),
    ("f(a, g(b, c), ", "f", 2),
    ("x = new global.Foo(1,", "new global.Foo", 1),
    ("a.b('x, y', ", "a.b", 1),
    ("f({a: 1, b", "f", 0),
    ("f([1, 2, ", "f", 0),
    ("f(a => b, ", "f", 1),
    ("f(`x, ${y}, `, /,/, ", "f", 2),
    ("f(a /* , */, ", "f", 1),
    ("f('", "f", 0),
    ("f(function() { ", "", 0),
    ("f(() => { g", "", 0),
    ("if (a", "", 0),
    ("function f(a, ", "", 0),
    ("(a, ", "", 0),
    ("f(a); ", "", 0),
    ("// f(", "", 0),
]


@pytest.mark.parametrize(("before", "callee", "argument"), CALLS)
def test_which_call_is_being_written(before: str, callee: str, argument: int) -> None:
    call = call_at(before)
    assert (call.callee, call.argument) == (callee, argument) if call else not callee


MENTIONS = [
    # text with the cursor at |, name, receiver
    ("var a = new x_hbr.Ber|th();", "Berth", "new x_hbr"),
    ("u.find|Free(a)", "findFree", "u"),
    ("Berth| ", "Berth", ""),
    ("new GlideAjax('x_app.Na|me')", "Name", "x_app"),
    ("// see Ber|th", "Berth", ""),
    (" | ", "", ""),
]


@pytest.mark.parametrize(("text", "name", "receiver"), MENTIONS)
def test_the_name_under_the_cursor(text: str, name: str, receiver: str) -> None:
    whole = text.replace("|", "")
    mention = mention_at(whole[: end_of_name(whole, text.index("|"))])
    assert (mention.name, mention.receiver) == (name, receiver)


@given(st.text(alphabet="ab1 .,;:?'\"`/\\${}()[]\n=>*#", max_size=60))
def test_any_text_has_a_cursor(text: str) -> None:
    cursor = cursor_at(text)
    assert text.endswith(cursor.prefix)
    assert cursor.kind != "member" or cursor.receiver
    call = call_at(text)
    assert call is None or text[len(call.before)] == "("
    assert len(mention_at(text).before) <= len(text)
