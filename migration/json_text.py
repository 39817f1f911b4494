"""JSON text from outside: read strictly, addressed by path, and shown without secrets.

`read_json` refuses what JSON parsers quietly put up with (duplicate keys, NaN, numbers no one else can hold, lone
surrogates, absurd depth and size), names each place, and still returns the rest for the checks that follow.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

LARGEST_TEXT = 256 * 1024
"""In bytes. SQS carries no more in one message, and the largest request is a fifth of it."""
DEEPEST = 32
MOST_DIGITS = 18
"""Digits of a whole number: what every reader's 64-bit integer holds."""

Location = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class FieldError:
    """One thing that is wrong with a document.

    Attributes:
        path: The JSON path of the place, such as `$.source.servers[0].name`.
        expected: What was expected there, in words.
        found: What was found, as short JSON; `nothing` when it is missing. Never a secret.
    """

    path: str
    expected: str
    found: str

    @property
    def message(self) -> str:
        """What was expected and what was found."""
        return f"expected {self.expected}, found {self.found}"

    def __str__(self) -> str:
        """The whole sentence, path first."""
        return f"{self.path}: {self.message}"


_UNFIT = re.compile("[\0\ud800-\udfff]")


class Fault(NamedTuple):
    """What was expected at a place, and what was found there; None: the value at the place."""

    expected: str
    found: str | None = None


class _Invalid:
    """The place of a value that is known to be wrong."""


INVALID = _Invalid()


@dataclass(frozen=True)
class _Unusable:
    """A value that the reader could not take, with the words for it."""

    expected: str
    found: str


class _Doubled(dict[str, Any]):
    """An object some of whose keys came more than once."""

    keys_again: frozenset[str] = frozenset()


# --- paths -----------------------------------------------------------------------------------------------------


def json_path(location: Location) -> str:
    """Write a JSON path (RFC 9535): `$`, then `.name`, `['any other name']` or `[index]`."""
    return "$" + "".join(map(_segment, location))


def _segment(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if re.fullmatch(f"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_SHOWN - 1}}}", part):
        return f".{part}"
    quoted = json.dumps(_shortened(part))[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"['{quoted}']"


def select(document: Any, path: str) -> Iterator[tuple[Location, Any]]:
    """Yield every place that a path such as `dns[].to.servers[]` reaches, with its value; INVALID ones are left out."""
    places: list[tuple[Location, Any]] = [((), document)]
    for step in path.replace("[]", ".[]").split("."):
        places = [found for place in places for found in _children(place, step)]
    return (place for place in places if place[1] is not INVALID)


def _children(place: tuple[Location, Any], step: str) -> list[tuple[Location, Any]]:
    location, value = place
    if step == "[]":
        return [((*location, i), item) for i, item in enumerate(value)] if isinstance(value, list | tuple) else []
    return [((*location, step), value[step])] if isinstance(value, Mapping) and step in value else []


def value_at(document: Any, path: str, default: Any = None) -> Any:
    """Return the value at a path without lists; the default where it is absent; INVALID where it is wrong."""
    for step in path.split("."):
        if document is INVALID:
            return INVALID
        if not isinstance(document, Mapping) or step not in document:
            return default
        document = document[step]
    return document


# --- showing values --------------------------------------------------------------------------------------------

LONGEST_SHOWN = 80
_SECRETIVE = re.compile(r"secret|passw|(?<!http)token|credential|private.?key|authorization|parameters", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/?#\s]*@")
_WITHHELD = "a value that is not shown"


def shown(location: Location, value: Any) -> str:
    """Show a value as short JSON, with everything that may be a secret left out.

    A field whose name speaks of a secret is not shown even where a mere reference to one belongs: what is wrong
    there may well be the secret itself.
    """
    if isinstance(value, _Unusable):
        return value.found
    if any(isinstance(part, str) and _SECRETIVE.search(part) for part in location) and value is not None:
        return _WITHHELD
    return _shortened(json.dumps(_discreet(value), ensure_ascii=True))


def _discreet(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: "..." if _SECRETIVE.search(key) else _discreet(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_discreet(item) for item in value]
    if isinstance(value, str):
        return _USER_INFO.sub("//...@", value)
    return value.found if isinstance(value, _Unusable) else value


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


# --- reading ---------------------------------------------------------------------------------------------------


def read_json(text: str | bytes) -> tuple[Any, dict[Location, Fault]]:
    """Read JSON text strictly.

    Returns:
        The value, with None where something could not be read, and what is wrong by location.
        When the text as a whole cannot be read, the value is INVALID and the location is the root.
    """
    try:
        decoded = _decoded(text)
        _refuse_depth(decoded)
        value = json.loads(
            decoded,
            object_pairs_hook=_object,
            parse_constant=lambda name: _Unusable("JSON, which has no such number", name),
            parse_int=_whole_number,
            parse_float=_number,
        )
    except _Refused as refused:
        return INVALID, {(): Fault(refused.expected, refused.found)}
    except json.JSONDecodeError as error:
        found = f"something else at line {error.lineno}, column {error.colno} ({error.msg})"
        return INVALID, {(): Fault("JSON", found)}
    faults: dict[Location, Fault] = {}
    return _cleaned(value, (), faults), faults


class _Refused(Exception):  # noqa: N818  never leaves this module
    """The text as a whole is refused."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected)
        self.expected, self.found = expected, found


def _decoded(text: str | bytes) -> str:
    try:
        raw = text.encode() if isinstance(text, str) else text
        decoded = raw.decode()
    except UnicodeError as error:
        raise _Refused("JSON in UTF-8", f"other bytes at position {getattr(error, 'start', 0)}") from None
    if len(raw) > LARGEST_TEXT:
        raise _Refused(f"JSON of at most {LARGEST_TEXT} bytes", f"{len(raw)} bytes")
    if not decoded.strip():
        raise _Refused("JSON", "nothing")
    if decoded.startswith("\ufeff"):
        raise _Refused("JSON without a byte order mark", "a byte order mark")
    return decoded


def _refuse_depth(text: str) -> None:
    """Count brackets outside strings, so that no parser has to go down first."""
    depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', text, re.DOTALL):
        bracket = match[0]
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > DEEPEST:
            raise _Refused(f"JSON of at most {DEEPEST} levels", "more levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = _Doubled(pairs)
    if len(result) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        result.keys_again = frozenset(name for name, times in counts.items() if times > 1)
    return result


def _whole_number(digits: str) -> Any:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        return _Unusable(f"a number of at most {MOST_DIGITS} digits", f"one of {len(digits.lstrip('-'))} digits")
    return int(digits)


def _number(digits: str) -> Any:
    number = float(digits)
    return number if math.isfinite(number) else _Unusable("a number that a computer can hold", _shortened(digits))


def _cleaned(value: Any, location: Location, faults: dict[Location, Fault]) -> Any:
    """Copy the value with None for what is unusable, and collect what is wrong."""
    if isinstance(value, _Doubled):
        return _cleaned_object(value, location, faults)
    if isinstance(value, list):
        return [_cleaned(item, (*location, i), faults) for i, item in enumerate(value)]
    if isinstance(value, str) and _unfit(value):
        value = _Unusable("text without NUL characters and lone surrogates", "a text that has them")
    if isinstance(value, _Unusable):
        faults[location] = Fault(value.expected, value.found)
        return None
    return value


def _cleaned_object(value: _Doubled, location: Location, faults: dict[Location, Fault]) -> dict[str, Any]:
    result = {}
    for name, item in value.items():
        place = (*location, name)
        if _unfit(name):
            faults[place] = Fault("a name without NUL characters and lone surrogates", "one")
            continue
        result[name] = _cleaned(item, place, faults)
        if name in value.keys_again:
            faults[place] = Fault("each name once in an object", "it more than once")
    return result


def _unfit(text: str) -> bool:
    return _UNFIT.search(text) is not None


# --- a document inside another one -----------------------------------------------------------------------------

_BLANKS = re.compile(r"[ \t\n\r]*")
_SPANS = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def member_texts(text: str) -> dict[str, str]:
    """The members of an object, each with the text of its value as it stands there, to be read on its own.

    The text must be an object that `read_json` could read, faults within it aside. A member that comes twice, which is
    such a fault, is given as it stands last.
    """
    texts = {}
    at = _after_blanks(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _SPANS.raw_decode(text, at)
        begin = _after_blanks(text, _after_blanks(text, at) + len(":"))
        _, end = _SPANS.raw_decode(text, begin)
        texts[name] = text[begin:end]
        at = _after_blanks(text, end)
        at = _after_blanks(text, at + len(",")) if text[at] == "," else at
    return texts


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at
