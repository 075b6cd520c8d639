"""What is added to a module so that it may name an API: never where it would not parse."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from deepcodeseek.index_builder.parse import parse
from deepcodeseek.server.imports import import_of, is_within_reach, module_of
from deepcodeseek.server.modules import Caller
from deepcodeseek.server.types import Api

ES, CJS = "import { Berth } from './berth.js';", "const { Berth } = require('./berth');"
ADDED = [
    # a module, and the same with Berth imported
    ("f();\n", f"{ES}\nf();\n"),
    ("import a from './a.js';\nf();\n", f"import a from './a.js';\n{ES}\nf();\n"),
    ("import a from './a.js'\nf()\n", f"import a from './a.js'\n{ES}\nf()\n"),
    ("import a from './a.js'\n(f)()\n", f"{ES}\nimport a from './a.js'\n(f)()\n"),
    ("import './a.css';\nf();\n", f"import './a.css';\n{ES}\nf();\n"),
    ("import {\n  a,\n  b,\n} from './a.js';\n", f"import {{\n  a,\n  b,\n}} from './a.js';\n{ES}\n"),
    (
        "import d from './x.json' with { type: 'json' };\nf();\n",
        f"import d from './x.json' with {{ type: 'json' }};\n{ES}\nf();\n",
    ),
    (
        "import a from './a.js';\nimport('./boot.js').then(run);\n",
        f"import a from './a.js';\n{ES}\nimport('./boot.js').then(run);\n",
    ),
    ("import a from './a.js';\nimport.meta.url;\n", f"import a from './a.js';\n{ES}\nimport.meta.url;\n"),
    ("import { a } from './berth.js';\n", "import { a, Berth } from './berth.js';\n"),
    ("import d, { a, } from './berth.js';\n", "import d, { a, Berth, } from './berth.js';\n"),
    (
        "import { a } from './b.js';\nimport { c } from './berth.js';\n",
        "import { a } from './b.js';\nimport { c, Berth } from './berth.js';\n",
    ),
    ("import { Berth } from './berth.js';\n", None),
    ("class Berth {}\nimport a from './a.js';\n", None),
    ("// class Berth is elsewhere\nf();\n", f"// class Berth is elsewhere\n{ES}\nf();\n"),
    (
        "import type { Opts } from './berth.js';\nf();\n",
        f"import type {{ Opts }} from './berth.js';\n{ES}\nf();\n",
    ),
    ("export { Opts } from './berth.js';\n", f"{ES}\nexport {{ Opts }} from './berth.js';\n"),
    (
        "// import { Old } from './berth.js';\nf();\n",
        f"// import {{ Old }} from './berth.js';\n{ES}\nf();\n",
    ),
    (
        "/*\nimport { Old } from './berth.js';\n*/\nf();\n",
        f"/*\nimport {{ Old }} from './berth.js';\n*/\n{ES}\nf();\n",
    ),
    (
        "export const t = `\nimport a from './a.js';\n`;\n",
        f"{ES}\nexport const t = `\nimport a from './a.js';\n`;\n",
    ),
    ("/** What it does. */\nfunction f() {}\n", f"{ES}\n/** What it does. */\nfunction f() {{}}\n"),
    ("/** @license MIT */\nfunction f() {}\n", f"/** @license MIT */\n{ES}\nfunction f() {{}}\n"),
    ("/** Of all. */\n\nfunction f() {}\n", f"/** Of all. */\n\n{ES}\nfunction f() {{}}\n"),
    ("#!/usr/bin/env node\n", f"#!/usr/bin/env node\n{ES}\n"),
    ("#!/usr/bin/env node\nf();\n", f"#!/usr/bin/env node\n{ES}\nf();\n"),
    ("f();\r\n", f"{ES}\r\nf();\r\n"),
    ('import a from "a";\n', "import a from \"a\";\nimport { Berth } from \"./berth.js\";\n"),
    ("const fs = require('fs');\nf();\n", f"const fs = require('fs');\n{CJS}\nf();\n"),
    (
        "var fs = require('fs'),\n    path = require('path');\n",
        f"{CJS}\nvar fs = require('fs'),\n    path = require('path');\n",
    ),
    ("const fs = require('fs')\n  .promises;\n", f"{CJS}\nconst fs = require('fs')\n  .promises;\n"),
    (
        "const fs = require('fs').promises // files\nf()\n",
        f"const fs = require('fs').promises // files\n{CJS}\nf()\n",
    ),
    ("const { a } = require('./berth');\n", "const { a, Berth } = require('./berth');\n"),
    (
        "// const { a } = require('./berth');\nmodule.exports = 1;\n",
        f"// const {{ a }} = require('./berth');\n{CJS}\nmodule.exports = 1;\n",
    ),
    (
        "/*\n  import users from a table\n*/\nconst fs = require('fs');\nf();\n",
        f"/*\n  import users from a table\n*/\nconst fs = require('fs');\n{CJS}\nf();\n",
    ),
    (
        "// import { Berth } from './berth.js';\nf();\n",
        f"// import {{ Berth }} from './berth.js';\n{ES}\nf();\n",
    ),
    ("f(\"import { Berth } from 'a'\");\n", f"{ES}\nf(\"import {{ Berth }} from 'a'\");\n"),
    ("const { Berth } = db.models;\n", None),
    ("const { Berth, ...rest } = await import('./berth.js');\n", None),
    ("const { Ship: Berth = 1 } = db;\n", None),
    ("const { Berth: Ship } = db;\n", f"{ES}\nconst {{ Berth: Ship }} = db;\n"),
    ("const [a, Berth] = db;\n", None),
    ("var a = 1, Berth = b;\n", None),
    ("const { x = Berth, y } = o;\n", f"{ES}\nconst {{ x = Berth, y }} = o;\n"),
    (
        "for (const { id } of list) {\n  register(Berth, id)\n  items[id] = 1\n}\n",
        f"{ES}\nfor (const {{ id }} of list) {{\n  register(Berth, id)\n  items[id] = 1\n}}\n",
    ),
    (
        "const S = require('sequelize');\nconst user = s.define('User', wrap(Berth));\n",
        f"const S = require('sequelize');\n{CJS}\nconst user = s.define('User', wrap(Berth));\n",
    ),
    ("function define(a) {}\n", f"{ES}\nfunction define(a) {{}}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ADDED)
def test_an_import_is_added_where_it_parses(text: str, expected: str | None) -> None:
    module = module_of(Caller("src/new.js", package="harbour"), text, len(text))
    assert module
    added = import_of(module, BERTH, "Berth")
    got = added and text[: added.at] + added.text + text[added.at :]
    assert got == expected
    assert got is None or parse(got.encode()).has_error == parse(text.encode()).has_error


BERTH = Api(
    api_name="harbour/src/berth.Berth", name="Berth", kind="class", source="src/berth.js", package="harbour"
)


def test_an_assigned_import_of_typescript_stays_whole() -> None:
    text = "import fs = require('fs');\nf();\n"
    module = module_of(Caller("src/new.ts", package="harbour"), text, len(text))
    assert module
    added = import_of(module, BERTH, "Berth")
    assert added
    assert (added.at, text[added.at :]) == (0, text)


SPECIFIERS = [
    # the file, what it imports, where the API is; what is imported from
    ("src/new.ts", "", "src/berth.ts", "./berth"),
    ("src/new.ts", "import { a } from './a';\n", "src/berth.ts", "./berth"),
    ("src/new.ts", "import { a } from './a.js';\n", "src/berth.ts", "./berth.js"),
    ("src/new.ts", "import { a } from './a.js';\n", "src/berth.mts", "./berth.mjs"),
    ("src/new.ts", "import { a } from './a.js';\n", "src/berth.tsx", "./berth.js"),
    ("src/new.mts", "", "src/berth.ts", "./berth.js"),
    ("src/new.ts", "", "src/berth.js", "./berth.js"),
    ("src/new.js", "import { a } from './a';\n", "src/berth.js", "./berth"),
    ("src/new.js", "const a = require('./a.js');\n", "src/berth.js", "./berth"),
]


@pytest.mark.parametrize(("file", "text", "source", "specifier"), SPECIFIERS)
def test_what_is_imported_from_is_named_as_the_file_names_others(
    file: str, text: str, source: str, specifier: str
) -> None:
    module = module_of(Caller(file, package="harbour"), text, len(text))
    assert module
    added = import_of(module, replace(BERTH, source=source), "Berth")
    assert added
    assert re.findall(r"'(.+)'", added.text) == [specifier]


REQUIRED = [
    # a module with the cursor at |, and the same with Berth required
    (
        "const a = require('./a');\n|\nf();\nconst b = require('./b');\n",
        f"const a = require('./a');\n{CJS}\n|\nf();\nconst b = require('./b');\n",
    ),
    (
        "f(|)\nconst { a } = require('./berth');\n",
        f"{CJS}\nf(|)\nconst {{ a }} = require('./berth');\n",
    ),
    ("'use strict'\n\n|\nmodule.exports = {};\n", f"'use strict'\n\n{CJS}\n|\nmodule.exports = {{}};\n"),
    (
        "/* Copyright */\n\n|\nmodule.exports = {};\n",
        f"/* Copyright */\n\n{CJS}\n|\nmodule.exports = {{}};\n",
    ),
    (
        "const a = require('a');\nconst b = require('b')(new |);\n",
        f"const a = require('a');\n{CJS}\nconst b = require('b')(new |);\n",
    ),
    ("const r = require('e').Router(|)\n", f"{CJS}\nconst r = require('e').Router(|)\n"),
]


@pytest.mark.parametrize(("text", "expected"), REQUIRED)
def test_require_is_put_above_what_needs_it(text: str, expected: str) -> None:
    """It is run where it stands."""
    cursor, code = text.index("|"), text.replace("|", "")
    module = module_of(Caller("src/new.js", package="harbour"), code, cursor)
    assert module
    added = import_of(module, BERTH, "Berth")
    assert added
    assert code[: added.at] + added.text + code[added.at :] == expected.replace("|", "")


@pytest.mark.parametrize(
    "text", ["define(['a'], function (a) {});\n", "sap.ui.define(['b', 'a'], (b, a) => {});\n"]
)
def test_nothing_is_imported_into_a_module_of_amd(text: str) -> None:
    module = module_of(Caller("src/new.js"), text, len(text))
    assert module
    assert import_of(module, BERTH, "Berth") is None
    assert not is_within_reach(module, BERTH)
    assert is_within_reach(module, replace(BERTH, name="a"))
    both = module_of(Caller("src/new.js"), f"import a from './a';\n{text}", 0)
    assert both
    assert import_of(both, BERTH, "Berth")


LONG = [
    "import" + " " * 20_000 + ";",
    "import a, " * 4000,
    "let {" * 8000,
    "const a\n" * 6000,
    "import {" * 6000,
    "let[" * 20_000,
    "let[]:" * 15_000,
    "for (const [k, v] of x)\n" * 4000,
    "define([" * 10_000,
    "define(function f" * 5000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:12])
def test_a_module_is_read_in_time_that_grows_with_its_length(text: str) -> None:
    begin = time.process_time()
    assert module_of(Caller("src/new.js"), text, len(text))
    assert time.process_time() - begin < 1  # it took minutes
