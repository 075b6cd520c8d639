"""The name of the function that a cursor stands in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcodeseek.server.enclosing import function_around
from deepcodeseek.server.lexer import code_of

ENDS = [
    # before the cursor, the function
    ("", ""),
    ("var a = 1;\n", ""),
    ("function load(a, b) {\n", "load"),
    ("function load(a, b) {\n}\n", ""),
    ("function* each() {", "each"),
    ("async function load() {", "load"),
    ("X.prototype = {\n  load: function(a) {\n    if (a) {\n", "load"),
    ("X.prototype.load = function() {", "load"),
    ("var load = function inner() {", "load"),
    ("const load = async (a, { b }) => {", "load"),
    ("const load = a => {", "load"),
    ("class A {\n  load(a) {", "load"),
    ("class A {\n  async load(a: string): Promise<void> {", "load"),
    ("class A {\n  load() {}\n", ""),
    ("load: function() {\n  items.forEach(function(item) {\n", "load"),
    ("load: function() {\n  items.forEach((item) => {\n", "load"),
    ("function load() {\n  try { a(); } catch (e) {\n", "load"),
    ("function load() {\n  for (var i = 0; i < n; i++) { while (i) { switch (i) {", "load"),
    ("function load() {\n  function inner() {\n  }\n", "load"),
    ("function load() {\n  // function other() {\n  var a = 'function third() {';\n", "load"),
    ("(function executeRule(current, previous) {\n", "executeRule"),
    ("(function() {\n", ""),
]


@pytest.mark.parametrize(("before", "expected"), ENDS)
def test_the_function_around(before: str, expected: str) -> None:
    assert function_around(code_of(before).text) == expected


@given(st.text("af(){}=>:'/\n ", max_size=60))
def test_any_text_has_one_or_none(before: str) -> None:
    assert function_around(code_of(before).text) in before
