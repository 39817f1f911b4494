"""What a page of the documents holds: its fenced blocks, in order, and the commands in them."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_FENCED = re.compile(r"^```(?P<tag>\w*)(?P<more>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TO_PUT_IN = re.compile(r"(?<!\w)[A-Z][A-Z_]+(?:-[A-Z_]+)*(?!\w)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language tag, what else stands on that line, its text, the line that the text begins on."""

    tag: str
    more: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """One command of a page, as it stands there without its comment, and where."""

    text: str
    line: int

    def words(self, values: Mapping[str, str]) -> list[str]:
        """Its words, as a shell would take them, with values for what is the reader's to put in."""
        return shlex.split(filled(self.text, values))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(found["tag"], found["more"].strip(), found["text"], text.count("\n", 0, found.start("text")) + 1)
        for found in _FENCED.finditer(text)
    ]


def commands(page: Path, *tags: str) -> Iterator[Command]:
    """The commands of the blocks with these tags, one a line."""
    for block in blocks(page):
        if block.tag in tags:
            for number, line in enumerate(block.text.splitlines()):
                if text := re.sub(r"\s+# .*", "", line).strip():
                    yield Command(text, block.line + number)


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with a value for each word in capitals that has one."""
    return _TO_PUT_IN.sub(lambda found: values.get(found[0], found[0]), text)


def left_to_put_in(text: str, known: Iterable[str]) -> set[str]:
    """The words in capitals that are not among these."""
    return set(_TO_PUT_IN.findall(text)) - set(known)
