"""The context of a cursor in a record's XML, where the script is escaped or stands in CDATA."""

from __future__ import annotations

import pytest

from deepcodeseek.server.context import MAX_CHARS, _read, make_context

HEAD = '<?xml version="1.0"?><record_update><sys_script><name>Rule</name><{} x="1">'


def test_a_script_may_write_xml_of_its_own() -> None:
    context = make_context("import a from 'a';\nsend('<a><![CDATA[' + new ", "")
    assert context.window == "import a from 'a';\nsend('<a><![CDATA[' + new"
    assert (context.field, context.trigger) == ("", "new")


SCRIPTS = [
    # element, text before the cursor, text after it, window, window after
    ("script", "if (a &lt; b &amp;&amp; c)\n  new ", ";\n</script>", "if (a < b && c)\n  new", ";"),
    ("script", "<![CDATA[if (a < b)\n  var x = new ", ";\n]]></script>", "if (a < b)\n  var x = new", ";"),
    ("client_script", "say(&quot;a&quot;);\nnew ", "</client_script>", 'say("a");\nnew', ""),
]  # fmt: skip


@pytest.mark.parametrize(("field", "before", "after", "window", "window_after"), SCRIPTS)
def test_the_script_of_a_record(field: str, before: str, after: str, window: str, window_after: str) -> None:
    context = make_context(HEAD.format(field) + before, after)
    assert (context.window, context.window_after) == (window, window_after)
    assert context.field == field
    assert context.trigger == "new"
    far = "x();\n" * (MAX_CHARS // 4)
    context = make_context(HEAD.format(field) + before[:9] + far + "last();\nnew ", after)
    assert context.field == field
    assert context.window.endswith("last();\nnew")
    assert not context.before.startswith("<?xml")
    assert len(context.before) <= MAX_CHARS


def test_what_the_letters_of_a_name_do_not_change_is_read_once() -> None:
    before, after = "var a = 1;\nfunction f() {\n  var b = new ", ";\n}\n"
    _read.cache_clear()
    contexts = [make_context(before + "Berth"[:letters], after) for letters in range(6)]
    assert _read.cache_info().misses == 1
    assert {(c.used, c.function, c.unresolved) for c in contexts} == {
        (("new", "b", "var", "f", "function", "a"), "f", contexts[0].unresolved)
    }
    assert make_context(f"c = 2;\n{before}", after).used[-1] == "c"
