"""The project's documents: where they are, and what they link to."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "deploy/docker/README.md",
    "deploy/terraform/README.md",
)
"""Documents that stand where people look for them, and not in `docs/`."""

_LINK = re.compile(r"(?<!\!)\[(?P<text>[^\]\[]*(?:\[\][^\]\[]*)*)\]\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"^(```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^\1 *$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Link:
    """A link of a document to something in the checkout: a path from the root, and a fragment or nothing."""

    text: str
    path: str
    fragment: str


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and what is in it."""

    language: str
    text: str


def documents() -> list[str]:
    """Every document, by its path in the checkout."""
    return [*OUTSIDE, *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]


def text_of(document: str) -> str:
    """What a document says."""
    return (ROOT / document).read_text(encoding="utf-8")


def links(document: str) -> Iterator[Link]:
    """Where a document leads within the checkout."""
    for found in _LINK.finditer(prose(text_of(document))):
        if link := resolved(document, found):
            yield link


def resolved(document: str, found: re.Match[str]) -> Link | None:
    """A link that was found in a document; None when it leads out of the checkout."""
    if re.match(r"[a-z]+:", found["target"]):
        return None
    target, _, fragment = found["target"].partition("#")
    path = normpath(Path(document).parent / target) if target else document
    return Link(found["text"], path, fragment)


def rewritten(text: str, document: str, write: Callable[[Link], str]) -> str:
    """The text with each link into the checkout as `write` has it; blocks of code stay as they are."""

    def replaced(found: re.Match[str]) -> str:
        link = resolved(document, found)
        return write(link) if link else found[0]

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(replaced, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(replaced, text[end:])])


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text."""
    return [Block(found["language"], found["text"]) for found in _FENCE.finditer(text)]
