"""The only place where text becomes model input.

Build, evaluation and serving call the same functions, so that no model ever sees a query or a document
shaped otherwise than the ones it was indexed or trained with. Whoever changes what a function here
returns raises TEXT_VERSION: an index made with another version is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

from .types import Api, Context, ExpandedQuery, Method, Prompt, RankedApi, Usage

TEXT_VERSION = "3"

WINDOW_LINES = 10  # the paper trims the retrieval context to 8-10 lines
WINDOW_AFTER_LINES = 4
LAST_LINES = 3  # of the window, that say most
WINDOW_CHARS = 1200  # one minified or data line must not push everything else out of a model's input
ENCODER_QUERY_CHARS = 800  # about 256 tokens of code: more would cut the lines next to the cursor
ENCODER_AFTER_CHARS = 200
DOCUMENT_CHARS = 1500
FILE_CHARS = 8000  # of a file, on either side of the cursor, that tell what it is about
EXPANDER_CHARS = 400  # of the window: reading them takes most of the time that a small model takes
EXPANSION_CHARS = 300
RERANKER_TEXT_VERSION = "1"  # of the two functions below that a cross-encoder reads: its card states it
CAUSAL_TEXT_VERSION = f"{RERANKER_TEXT_VERSION}.1"  # of the same, and of the template around them
RERANKER_LINES = 5  # of the window
RERANKER_CHARS = MappingProxyType(
    {"name": 40, "window": 240, "members": 60, "after": 80, "documentation": 140, "usage": 160, "methods": 80}
)
"""What each part may take: a pair then has about 150 tokens, and its cost grows with them."""
SUMMARY_METHODS = 8  # of an API, that a generator is told
SUMMARY_WORDS = 4  # fewer say nothing

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|[^\W\d_]+", re.UNICODE)


def lexical_tokens(text: str) -> list[str]:
    """Lower-cased words, identifiers split at camelCase, underscores and digits."""
    return [word.lower() for word in _WORD.findall(text)]


def whole_characters(text: str) -> str:
    """Halves of surrogate pairs become `?`: neither a tokenizer nor a database takes them."""
    return text.encode(errors="replace").decode()


def window_before(before: str, lines: int = WINDOW_LINES) -> str:
    """The last `lines` lines that hold anything, the one at the cursor included."""
    kept = [line.rstrip() for line in _lines(before[-WINDOW_CHARS * 4 :]) if line.strip()]
    return "\n".join(kept[-lines:])[-WINDOW_CHARS:]


def window_after(after: str, lines: int = WINDOW_AFTER_LINES) -> str:
    """The first `lines` lines after the cursor that hold anything."""
    kept = [line.rstrip() for line in _lines(after[: WINDOW_CHARS * 4]) if line.strip()]
    return "\n".join(kept[:lines])[:WINDOW_CHARS]


def last_line(text: str) -> str:
    """What stands behind the last line end."""
    return text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]


def written_terms(api: Api) -> list[str]:
    """Lexical document of an API: its name twice, the documentation that somebody wrote, method names.

    The fixed baseline `bm25-docs` is made of it: nothing is ever added.
    """
    return _document_terms(api, _written(api))


def document_terms(api: Api) -> list[str]:
    """The same with a description of what nobody documented."""
    return _document_terms(api, _documentation(api))


def _document_terms(api: Api, documentation: str) -> list[str]:
    parts = [api.name, api.name, documentation[:DOCUMENT_CHARS], *(m.name for m in api.methods)]
    return lexical_tokens(" ".join(parts))


def code_terms(api: Api) -> list[str]:
    """Lexical document over an API's raw source: its name twice and the code."""
    return lexical_tokens(f"{api.name} {api.name} {api.code}")


def usage_terms(record_name: str, context: str, statement: str) -> list[str]:
    """Lexical document of a known usage: its caller, the lines before the call, the call."""
    return lexical_tokens(f"{record_name} {context} {statement}")


def query_terms(query: ExpandedQuery) -> list[str]:
    """Lexical query, each term once, in order of first appearance."""
    context = query.context
    text = f"{context.record_name} {context.table} {context.window} {query.code} {context.window_after}"
    return list(dict.fromkeys(lexical_tokens(text)))


def file_terms(context: Context) -> list[str]:
    """Lexical query of the whole file, or of what of it is near the cursor."""
    before = context.before.removesuffix(context.prefix)
    text = f"{before[-FILE_CHARS:]}\n{context.after[:FILE_CHARS]}"
    return list(dict.fromkeys(lexical_tokens(text)))


def last_line_terms(context: Context) -> list[str]:
    """Lexical query of the lines next to the cursor alone."""
    return list(dict.fromkeys(lexical_tokens("\n".join(_lines(context.window)[-LAST_LINES:]))))


def name_terms(names: Iterable[str]) -> frozenset[str]:
    """The words a set of names is made of."""
    return frozenset(token for name in names for token in lexical_tokens(name))


def initials(name: str) -> str:
    """How a variable abbreviates a name in camelCase: `CartItemUtil` is `ciu`; of one word it is nothing."""
    letters = "".join(letter for letter in name if letter.isupper()).lower()
    return letters if len(letters) > 1 else ""


def encoder_document(api: Api) -> str:
    """Dense document of an API: name, documentation, signatures."""
    signatures = " ".join(m.signature for m in api.methods if not m.is_private)
    return f"{api.name}. {_documentation(api)[:DOCUMENT_CHARS]}\n{signatures}"


def encoder_code(api: Api) -> str:
    """Dense document over an API's raw source."""
    return f"{api.name}\n{api.code[:DOCUMENT_CHARS]}"


def encoder_usage(record_name: str, context: str) -> str:
    """Dense document of a known usage: what stood before the call, shaped like `encoder_query`."""
    return _named_window(record_name, context)


def encoder_query(query: ExpandedQuery) -> str:
    """Dense query: the caller's name, the lines before the cursor, hypothetical code, the lines after."""
    context = query.context
    window = f"{context.window}\n{query.code}" if query.code else context.window
    after = context.window_after[:ENCODER_AFTER_CHARS]
    return _named_window(context.record_name, window) + (f"\n{after}" if after else "")


def reranker_query(query: ExpandedQuery) -> str:
    """What a cross-encoder reads of a question: the lines next to the cursor, and what is called below it.

    Hypothetical code is left out: it would push out what was really written, and none was trained with.
    """
    context, most = query.context, RERANKER_CHARS
    lines = _lines(context.window)[-RERANKER_LINES:]
    parts = (
        " ".join(lexical_tokens(context.record_name))[: most["name"]],
        "\n".join(line.strip() for line in lines)[-most["window"] :],
        " ".join(context.unresolved.members)[: most["members"]],
        context.window_after[: most["after"]],
    )
    return "\n".join(part for part in parts if part)


def reranker_document(api: Api, usage: Usage | None) -> str:
    """What a cross-encoder reads of an API: name, documentation, its nearest known usage, methods."""
    most = RERANKER_CHARS
    described = re.split(r"\s@\w", _documentation(api), maxsplit=1)[0]
    parts = (
        f"{api.name}. {' '.join(described.split())[: most['documentation']]}",
        _usage_end(usage)[-most["usage"] :] if usage else "",
        " ".join(m.name for m in api.methods if not m.is_private)[: most["methods"]],
    )
    return "\n".join(part for part in parts if part)


def causal_text(text: str) -> str:
    """A query or a document as a causal reranker reads it: no token that steers the model is made of it."""
    return text.replace("<|", "< |")


CAUSAL_OPENING = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given JavaScript up to the cursor, judge whether the API is called next.\n<Query>: "
)
"""What a causal reranker reads before the query: the template of Qwen3-Reranker (arXiv 2506.05176)."""
CAUSAL_BETWEEN = "\n<Document>: "
CAUSAL_ENDING = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def _usage_end(usage: Usage) -> str:
    """Who calls, the line before the call, and the call."""
    before = " ".join(line.strip() for line in _lines(usage.context)[-1:])
    statement = " ".join(usage.statement.split())
    return f"{' '.join(lexical_tokens(usage.caller))}: {before} {statement}"


def expander_prompt(context: Context) -> Prompt:
    """Asks a generator of any kind for the statement at the cursor.

    On an empty line it ends with the cursor's indentation: without it a small model closes blocks or writes
    comments.
    """
    window = _whole_lines(context.window, EXPANDER_CHARS)
    text = f"{_header(context)}\n\n{window}{_line_start(context.before)}"
    return Prompt(text, "statement", _STATEMENT_TASK, _behind(context.after))


def expansion_code(generated: str) -> str:
    """The part of generated text that is worth a query: what stands before a blank line or a fence."""
    block = re.split(r"\n\s*\n|```", generated.lstrip(), maxsplit=1)[0]
    lines = [line.strip() for line in _lines(block) if line.strip()]
    return "\n".join(lines)[:EXPANSION_CHARS]


def statement_prompt(context: Context, predicted: Sequence[RankedApi], head: str) -> Prompt:
    """Asks for the rest of a statement: what is known of predicted APIs, the lines before the cursor, and
    `head` in place of the typed prefix."""
    known = "".join(f"{line}\n" for ranked in predicted for line in _known(ranked))
    before = context.before[: len(context.before) - len(context.prefix)]
    lines = [line for line in _lines(before[-WINDOW_CHARS:])[:-1] if line.strip()][1 - WINDOW_LINES :]
    text = "\n".join((f"{_header(context)}\n{known}", *lines, f"{last_line(before)}{head}"))
    return Prompt(text, "statement", _STATEMENT_TASK, _behind(context.after), len(head))


def _known(ranked: RankedApi) -> Iterator[str]:
    """An API's methods and its nearest known usage, as comments."""
    api = ranked.api
    methods = ", ".join(method.signature for method in api.methods[:SUMMARY_METHODS] if not method.is_private)
    yield f"// {api.name}: {methods}" if methods else f"// {api.name}({', '.join(api.params)})"
    if ranked.usage:
        yield f"// {' '.join(ranked.usage.statement.split())[:EXPANSION_CHARS]}"


def description_prompt(context: Context) -> Prompt:
    """Asks a generator of any kind what comes next, by an example of the same form."""
    text = f"{_INTENT_EXAMPLE}{_header(context)}\n{context.window}\n\n{_INTENT_QUESTION}"
    return Prompt(text, "sentence", _SENTENCE_TASK)


def description_sentence(generated: str) -> str:
    """The sentence, or nothing where a small model gave the example back or lost itself in repetitions."""
    sentence = summary_sentence(generated)
    return "" if sentence and sentence in _INTENT_EXAMPLE else sentence


def summary_prompt(api: Api) -> Prompt:
    """Asks a generator of any kind for one sentence on an API, by an example of the same form."""
    methods = ", ".join(method.signature for method in api.methods[:SUMMARY_METHODS])
    known = api.synthesized.partition("@example")[0].strip().replace("\n", " ")
    text = f"{_SUMMARY_EXAMPLE}// class {api.name}: {methods}\n// {known}\n// In one sentence:"
    return Prompt(text, "sentence", _SENTENCE_TASK)


_STATEMENT_TASK = "Complete the JavaScript at its end with the one statement that comes next."
_SENTENCE_TASK = "Complete the comment at the end of the JavaScript with one sentence."


def summary_sentence(generated: str) -> str:
    """The sentence, or nothing where a small model lost itself in repetitions."""
    line = _lines(generated.strip())[0].lstrip("/ ").strip()
    sentence = line.partition(". ")[0].rstrip(".")
    words = lexical_tokens(sentence)
    if len(words) < SUMMARY_WORDS or 2 * len(set(words)) < len(words):
        return ""
    return f"{sentence[:EXPANSION_CHARS]}."


_SUMMARY_EXAMPLE = """// class TicketRouter: choose(ticket), fallbackGroup()
// Ticket router. Can choose, fallback group. Reads sys_user_group by name. Calls OnCall.
// In one sentence: Chooses the group that a ticket is assigned to, by its category and who is on call.

"""


_INTENT_QUESTION = "// What comes next, in one sentence:"
_INTENT_EXAMPLE = f"""// Route ticket.js, table ticket
var ticket = new GlideRecord('ticket');
if (!ticket.get(id))
    return;

{_INTENT_QUESTION} choose the group on call for the category of the ticket and assign it to them.

"""


def method_heading(method: Method) -> str:
    """The first sentence or line of a method's documentation, written or synthesized."""
    first = (method.doc or method.synthesized).split("\n", 1)[0]
    return first if not first.startswith("@") else ""


def _written(api: Api) -> str:
    documented = (f"{m.name}: {m.doc}" for m in api.methods if m.doc)
    return "\n".join(part for part in (api.doc, *documented) if part)


def _documentation(api: Api) -> str:
    """What was written, else what was synthesized; its example is a call, and searched as such."""
    told = ((m.name, m.doc or m.synthesized) for m in api.methods)
    described = api.doc or api.synthesized.partition("@example")[0].strip()
    return "\n".join(part for part in (described, *(f"{name}: {doc}" for name, doc in told if doc)) if part)


def _header(context: Context) -> str:
    table = f", table {context.table}" if context.table else ""
    return f"// {context.record_name or 'script'}.js{table}"


def _whole_lines(text: str, chars: int) -> str:
    """The last lines of a text, as many as that many characters hold; of a longer one its end."""
    return text if len(text) <= chars else text[-chars:].partition("\n")[2] or text[-chars:]


def _behind(after: str) -> str:
    """The rest of the cursor's line, and the lines below it up to as many that hold anything."""
    lines = _lines(after[:WINDOW_CHARS])
    held = [number for number, line in enumerate(lines) if line.strip()][:WINDOW_AFTER_LINES]
    return "\n".join(lines[: held[-1] + 1]) if held else ""


def _line_start(before: str) -> str:
    last = _lines(before[-WINDOW_CHARS:])[-1]
    return "" if last.strip() else f"\n{last}"


def _named_window(record_name: str, window: str) -> str:
    name = " ".join(lexical_tokens(record_name))
    return f"{name}\n{window[-ENCODER_QUERY_CHARS:]}"


def _lines(text: str) -> list[str]:
    """LSP's line ends alone: U+2028 and form feeds are text."""
    return re.split(r"\r\n|\n|\r", text)
