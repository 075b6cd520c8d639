"""Writes a workspace of generated Script Includes and business rules, to measure large indexes with.

The same seed gives the same files. What matters to the times is made like the real thing: how long the
scripts are, how many methods are documented, that words and callers are spread unevenly, that two in five
scopes are called from others. The words mean nothing: what is found here says nothing of quality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

SCOPE_APIS = 250  # Script Includes of an application
SHARED = 0.4  # of the scopes are called from others
APIS_A_RULE = 10  # one business rule for so many Script Includes
CALLS_A_RULE = 2
METHODS = (3, 8)
DOCUMENTED = 0.15  # of the classes and of the methods
EXTENDING = 0.2
CALLING = 0.25  # of the Script Includes call another


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_SYLLABLES = _listed("ba den fir gol har kin lam mor nes pol ran sit tur vel wen zor")
_DOMAINS = _listed(
    "Account Agent Alert Approval Asset Audit Batch Budget Cache Calendar Catalog Change Claim Comment "
    "Config Contact Contract Cost Country Customer Device Document Domain Email Employee Entry Event "
    "Export Feature Field Filter Group History Import Incident Invoice Item Journal Key Label Ledger "
    "Limit Location Message Metric Order Outage Owner Payment Period Policy Price Problem Project Quota "
    "Rate Region Request Review Risk Rule Schedule Service"
)
_SUFFIXES = _listed(
    "Utils Service Helper Manager Dao Validator Builder Client Router Sync Parser Factory Loader Mapper "
    "Ajax API"
)
_VERBS = _listed("get find load count update create remove check assign close notify merge resolve validate")
_FIELDS = _listed(
    "state number priority active category short_description assigned_to assignment_group due_date "
    "opened_by parent amount region code name owner"
)
_PARAMETERS = _listed(
    "id record value name options user group limit start query list table key text type data"
)
_WORDS = len(_SYLLABLES) ** 3
_NAMES = _WORDS * len(_DOMAINS) * len(_SUFFIXES)
_STRIDE = 1_000_003  # a prime: names that follow each other share no word, and none comes twice


@dataclass(frozen=True, slots=True)
class Plan:
    """How many Script Includes there are, and in how many scopes."""

    apis: int
    seed: int = 0

    @property
    def scopes(self) -> int:
        return min(self.apis, max(4, self.apis // SCOPE_APIS))

    def scope(self, number: int) -> str:
        """Of the Script Include of this number."""
        return f"x_gen_{_word(number % self.scopes * 37)}{number % self.scopes}"


def write_workspace(folder: Path, plan: Plan) -> None:
    """Write all files below a folder, in the layout of sn-scriptsync."""
    for path, code in workspace_files(plan):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(code, encoding="utf-8")


def workspace_files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Path and code of each script."""
    for number in range(plan.apis):
        name = api_name(number)
        yield f"{plan.scope(number)}/sys_script_include/{name}.script.js", _script_include(plan, number)
    for number in range(plan.apis // APIS_A_RULE):
        yield f"{plan.scope(number)}/sys_script/{rule_name(number)}.script.js", _business_rule(plan, number)


def api_name(number: int) -> str:
    """Of the Script Include of this number: no two are alike."""
    place = number * _STRIDE % _NAMES
    place, suffix = divmod(place, len(_SUFFIXES))
    word, domain = divmod(place, len(_DOMAINS))
    return _word(word).capitalize() + _DOMAINS[domain] + _SUFFIXES[suffix]


def rule_name(number: int) -> str:
    """Of the business rule of this number."""
    return f"{_VERBS[number % len(_VERBS)].capitalize()} {_word(number * 11)} {number}"


# Script Includes


def _script_include(plan: Plan, number: int) -> str:
    chance = Random(f"{plan.seed} api {number}")
    name = api_name(number)
    methods = _methods(plan, number)
    calling = chance.randrange(len(methods)) if chance.random() < CALLING else -1
    parts = [_method(plan, number, method, chance, calls=i == calling) for i, method in enumerate(methods)]
    doc = (
        f"/**\n * {_sentence(chance)}\n * {_sentence(chance)}\n */\n" if chance.random() < DOCUMENTED else ""
    )
    is_derived = chance.random() < EXTENDING
    opening, closing = (
        (f"Object.extendsObject({_ancestor(plan, number, chance)}, {{", "})") if is_derived else "{}"
    )
    table = f"{plan.scope(number)}_{_rare(chance)}"
    return (
        f"{doc}var {name} = Class.create();\n{name}.prototype = {opening}\n"
        "    initialize: function(record) {\n"
        f"        this.table = '{table}';\n        this.record = record;\n"
        f"    }},\n\n{''.join(parts)}    type: '{name}'\n{closing};\n"
    )


def _methods(plan: Plan, number: int) -> list[str]:
    """Names of the methods: what a caller needs to know."""
    chance = Random(f"{plan.seed} methods {number}")
    low, high = METHODS
    count = low + int((high - low + 1) * chance.random() ** 2)
    return list(dict.fromkeys(_method_name(chance) for _ in range(count)))


def _method_name(chance: Random) -> str:
    rare = _rare(chance).capitalize() if chance.random() < 0.3 else ""
    return f"{chance.choice(_VERBS)}{rare}{chance.choice(_DOMAINS)}"


def _ancestor(plan: Plan, number: int, chance: Random) -> str:
    if chance.random() < 0.5:
        return "global.AbstractAjaxProcessor"
    return api_name(_neighbour(plan, number, chance))


def _method(plan: Plan, number: int, name: str, chance: Random, calls: bool) -> str:
    first, second = chance.choice(_FIELDS), chance.choice(_PARAMETERS)
    doc = ""
    if chance.random() < DOCUMENTED:
        doc = f"    /**\n     * {_sentence(chance)}\n     * @param {{string}} {second}\n     */\n"
    body = _calling(plan, number, chance) if calls else chance.choice(_BODIES)(chance, first, second)
    lines = "".join(f"        {line}\n" for line in body)
    return f"{doc}    {name}: function({second}) {{\n{lines}    }},\n\n"


def _query(chance: Random, first: str, second: str) -> list[str]:
    table = chance.choice(("this.table", f"'{chance.choice(('incident', 'task', 'cmdb_ci', 'sys_user'))}'"))
    return [
        f"var gr = new GlideRecord({table});",
        f"gr.addQuery('{first}', {second});",
        "gr.query();",
        "while (gr.next()) {",
        f"    this.{_rare(chance)} = gr.getValue('{chance.choice(_FIELDS)}');",
        "}",
        "return gr.getRowCount();",
    ]


def _aggregate(chance: Random, first: str, second: str) -> list[str]:
    return [
        "var ga = new GlideAggregate(this.table);",
        f"ga.addAggregate('COUNT', '{first}');",
        f"ga.addQuery('{chance.choice(_FIELDS)}', '!=', {second});",
        "ga.query();",
        f"return ga.next() ? ga.getAggregate('COUNT', '{first}') : 0;",
    ]


def _guard(chance: Random, first: str, second: str) -> list[str]:
    return [
        f"if (gs.nil({second}))",
        f"    throw new Error('{_rare(chance)} {first} is missing');",
        f"return String({second}).trim();",
    ]


def _map(chance: Random, first: str, second: str) -> list[str]:
    item = _rare(chance)
    return [
        f"var {item} = JSON.parse({second} || '[]');",
        f"return {item}.filter(function(each) {{",
        f"    return each.{first} && each.{_rare(chance)} !== this.table;",
        "});",
    ]


_BODIES: tuple[Callable[[Random, str, str], list[str]], ...] = (_query, _query, _aggregate, _guard, _map)


def _calling(plan: Plan, number: int, chance: Random) -> list[str]:
    target = _target(plan, number, chance)
    local, result = _rare(chance), _rare(chance)
    return [
        f"var {local} = new {_reference(plan, number, target)}(this.record);",
        f"var {result} = {local}.{chance.choice(_methods(plan, target))}(this.record);",
        f"return {result} ? {result}.{chance.choice(_FIELDS)} : null;",
    ]


# Business rules


def _business_rule(plan: Plan, number: int) -> str:
    chance = Random(f"{plan.seed} rule {number}")
    lines = [f"// {_sentence(chance)}", f"if (current.{chance.choice(_FIELDS)}.changes()) {{"]
    for _ in range(CALLS_A_RULE):
        target = _target(plan, number, chance)
        method = chance.choice(_methods(plan, target))
        local, field = _rare(chance), chance.choice(_FIELDS)
        lines += [
            f"    var {local} = new {_reference(plan, number, target)}(current);",
            f"    current.{field} = {local}.{method}(current.getValue('{field}'));",
        ]
    body = "".join(f"    {line}\n" for line in (*lines, "}"))
    return f"(function executeRule(current, previous /*null when async*/) {{\n{body}}})(current, previous);\n"


# Who calls whom


def _target(plan: Plan, number: int, chance: Random) -> int:
    """What a script calls: mostly its neighbours, else what the shared scopes offer; few are called often."""
    if chance.random() < 0.7:
        return _neighbour(plan, number, chance)
    shared = max(1, int(SHARED * plan.scopes))
    return _of_scope(plan, int(shared * chance.random()), chance)


def _neighbour(plan: Plan, number: int, chance: Random) -> int:
    return _of_scope(plan, number % plan.scopes, chance)


def _of_scope(plan: Plan, scope: int, chance: Random) -> int:
    size = (plan.apis - scope + plan.scopes - 1) // plan.scopes
    return scope + plan.scopes * int(size * chance.random() ** 2)


def _reference(plan: Plan, caller: int, target: int) -> str:
    """As the caller writes it: with the scope where that is not its own."""
    name, scope = api_name(target), plan.scope(target)
    return name if scope == plan.scope(caller) else f"{scope}.{name}"


# Words


def _word(number: int) -> str:
    """One of 4,096."""
    rest, last = divmod(number % _WORDS, len(_SYLLABLES))
    first, middle = divmod(rest, len(_SYLLABLES))
    return _SYLLABLES[first] + _SYLLABLES[middle] + _SYLLABLES[last]


def _rare(chance: Random) -> str:
    """A word: few come often, most seldom."""
    return _word(int(_WORDS * chance.random() ** 3))


def _sentence(chance: Random) -> str:
    verb, domain, field = chance.choice(_VERBS), chance.choice(_DOMAINS), chance.choice(_FIELDS)
    return (
        f"{verb.capitalize()}s the {field} of a {_rare(chance)} {domain.lower()} for {_rare(chance)} records."
    )
