"""CloudWatch Logs Insights over lines of our own logs: the part of its language that the runbook uses, and no more.

Source: CloudWatch Logs user guide, "CloudWatch Logs Insights language query syntax". Stricter than the original: a
field that no line has, or a word that is not known here, is an error and not an empty column.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Line = Mapping[str, Any]
Row = dict[str, Any]
Look = Callable[[Line], Any]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>"[^"]*")
  | (?P<pattern>/(?:[^/\\]|\\.)+/)
  | (?P<number>\d+(?:\.\d+)?(?![\w.]))
  | (?P<span>\d+[smhd](?!\w))
  | (?P<name>[@A-Za-z_][\w.@]*)
  | (?P<sign>!=|<=|>=|[=<>(),*|\[\]])
    )""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}
_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "count_distinct": lambda values: len(set(values)),
    "avg": lambda values: sum(values) / len(values) if values else None,
    "sum": sum,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}


class QueryError(Exception):
    """The query says something that is not understood here, or names what is not there."""


@dataclass(frozen=True)
class Token:
    """A word of a query."""

    kind: str
    text: str


def lines_of(log: str) -> list[Row]:
    """The lines of a log, each with its fields as Insights discovers them: nested ones by dots."""
    return [_line(text) for text in log.splitlines() if text.strip()]


def _line(text: str) -> Row:
    found = json.loads(text)
    return {**_flat(found), "@timestamp": found["timestamp"], "@message": text}


def _flat(value: Any, name: str = "") -> Row:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        return {name: value}
    return {inner: one for key, each in members for inner, one in _flat(each, f"{name}.{key}".strip(".")).items()}


def query(text: str, lines: Sequence[Row]) -> list[Row]:
    """The rows that a query answers.

    Raises:
        QueryError: It is not understood, or it names a field that no line has.
    """
    table = _Table(list(lines), {name for line in lines for name in line})
    words = _Words(_tokens(text))
    while True:
        command = words.take("name")
        if command not in _COMMANDS:
            raise QueryError(f"no command: {command}")
        _COMMANDS[command](table, words)
        if not words.next_is("|"):
            break
    words.end()
    return [{name: row.get(name) for name in table.shown or row} for row in table.rows]


def _tokens(text: str) -> list[Token]:
    tokens, place = [], 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if not found or not found.lastgroup:
            raise QueryError(f"not understood: {text[place:].strip()[:30]}")
        tokens.append(Token(found.lastgroup, found[found.lastgroup]))
        place = found.end()
    return tokens


class _Words:
    """The tokens of a query, read from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens

    def next_is(self, *texts: str) -> str | None:
        """Take the next token if it is one of these signs or words."""
        if self._tokens and self._tokens[0].text in texts and self._tokens[0].kind in ("sign", "name"):
            return self._tokens.pop(0).text
        return None

    def take(self, *kinds: str) -> str:
        """Take the next token, which must be of one of these kinds."""
        if not self._tokens or self._tokens[0].kind not in kinds:
            found = self._tokens[0].text if self._tokens else "the end"
            raise QueryError(f"a {' or '.join(kinds)} is expected, not {found}")
        return self._tokens.pop(0).text

    def expect(self, sign: str) -> None:
        """Take this sign."""
        if not self.next_is(sign):
            raise QueryError(f"{sign} is expected")

    def value(self) -> Any:
        """Take a text or a number."""
        text = self.take("text", "number")
        return text[1:-1] if text.startswith('"') else float(text)

    def listed(self, one: Callable[[], Any]) -> list[Any]:
        """Take one or more, between commas."""
        found = [one()]
        while self.next_is(","):
            found.append(one())
        return found

    def end(self) -> None:
        """Expect that nothing is left."""
        if self._tokens:
            raise QueryError(f"not understood: {self._tokens[0].text}")


@dataclass
class _Table:
    """What a query has made of the lines so far."""

    rows: list[Row]
    known: set[str]
    shown: list[str] | None = None

    def field(self, words: _Words) -> str:
        """Take the name of a field that there is."""
        name = words.take("name")
        if name not in self.known:
            raise QueryError(f"no line has a field {name}")
        return name


def _fields(table: _Table, words: _Words) -> None:
    table.shown = words.listed(lambda: table.field(words))


def _limit(table: _Table, words: _Words) -> None:
    table.rows = table.rows[: int(words.take("number"))]


def _sort(table: _Table, words: _Words) -> None:
    name = table.field(words)
    order = words.next_is("asc", "desc")
    if not order:
        raise QueryError("say asc or desc")
    there = [row for row in table.rows if row.get(name) is not None]
    missing = [row for row in table.rows if row.get(name) is None]
    table.rows = sorted(there, key=lambda row: row[name], reverse=order == "desc") + missing


def _filter(table: _Table, words: _Words) -> None:
    passes = _either(table, words)
    table.rows = [row for row in table.rows if passes(row)]


def _either(table: _Table, words: _Words) -> Look:
    found = [_all(table, words)]
    while words.next_is("or"):
        found.append(_all(table, words))
    return lambda line: any(one(line) for one in found)


def _all(table: _Table, words: _Words) -> Look:
    found = [_one(table, words)]
    while words.next_is("and"):
        found.append(_one(table, words))
    return lambda line: all(one(line) for one in found)


def _one(table: _Table, words: _Words) -> Look:
    if words.next_is("("):
        inner = _either(table, words)
        words.expect(")")
        return inner
    name = table.field(words)
    if words.next_is("like"):
        return _like(name, words.take("text", "pattern"))
    if words.next_is("in"):
        words.expect("[")
        among = words.listed(words.value)
        words.expect("]")
        return lambda line: line.get(name) in among
    sign = words.take("sign")
    if sign not in _COMPARISONS:
        raise QueryError(f"no comparison: {sign}")
    value = words.value()
    return lambda line: line.get(name) is not None and _COMPARISONS[sign](line[name], value)


def _like(name: str, what: str) -> Look:
    pattern = re.compile(what[1:-1] if what.startswith("/") else re.escape(what[1:-1]))
    return lambda line: isinstance(line.get(name), str) and bool(pattern.search(line[name]))


def _stats(table: _Table, words: _Words) -> None:
    asked = words.listed(lambda: _statistic(table, words))
    by = words.listed(lambda: _group(table, words)) if words.next_is("by") else []
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(look(row) for _, look in by), []).append(row)
    table.shown = [name for name, _ in (*by, *asked)]
    table.known = set(table.shown)
    names = [name for name, _ in by]
    table.rows = [
        {**dict(zip(names, key, strict=True)), **{name: measure(rows) for name, measure in asked}}
        for key, rows in groups.items()
    ]


def _statistic(table: _Table, words: _Words) -> tuple[str, Callable[[Iterable[Row]], Any]]:
    function = words.take("name")
    if function not in _FUNCTIONS:
        raise QueryError(f"no function: {function}")
    words.expect("(")
    of = None if function == "count" and words.next_is("*") else table.field(words)
    words.expect(")")
    name = words.take("name") if words.next_is("as") else f"{function}({of or '*'})"

    def measure(rows: Iterable[Row]) -> Any:
        return _FUNCTIONS[function]([row if of is None else row[of] for row in rows if of is None or of in row])

    return name, measure


def _group(table: _Table, words: _Words) -> tuple[str, Look]:
    if not words.next_is("bin"):
        name = table.field(words)
        return name, lambda line: line.get(name)
    words.expect("(")
    span = words.take("span")
    words.expect(")")
    width = timedelta(**{_SPANS[span[-1]]: int(span[:-1])}).total_seconds()
    return f"bin({span})", lambda line: int(datetime.fromisoformat(line["@timestamp"]).timestamp() // width * width)


_COMMANDS: dict[str, Callable[[_Table, _Words], None]] = {
    "fields": _fields,
    "filter": _filter,
    "limit": _limit,
    "sort": _sort,
    "stats": _stats,
}
