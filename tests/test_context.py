"""The context of a cursor in a record's XML, where the script is escaped or stands in CDATA."""

from __future__ import annotations

import pytest

from deepcodeseek.server.context import make_context

HEAD = '<?xml version="1.0"?><record_update><sys_script><name>Rule</name><{} x="1">'
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
