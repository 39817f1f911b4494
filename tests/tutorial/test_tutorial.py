"""The tutorial is followed as a reader does who knows nothing: its blocks in order, copied into terminals."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import IO, Self

import psutil
import pytest

from localcloud.process import FOREIGN_VARIABLES
from tests.pages import ROOT, Block, blocks

TUTORIAL = ROOT / "docs" / "tutorial.md"
FIRST_TERMINAL, AFTER_CTRL_C = 'title="terminal 1"', 'title="terminal 1, after Ctrl-C"'

_UP_WITHIN = 180.0
_DOWN_WITHIN = 60.0
_LOOK = 0.3
_END_OF_BLOCK = "end of the block, with exit code"


@dataclass(frozen=True)
class Told:
    """A block of commands, and what the tutorial says one sees; None: it says nothing."""

    commands: Block
    expected: Block | None


def tutorial() -> Iterator[Told]:
    """The blocks to copy, in order, each with what is to be seen after it."""
    listed = [block for block in blocks(TUTORIAL) if block.tag in ("bash", "text")]
    for block, after in zip(listed, [*listed[1:], None], strict=True):
        if block.tag == "bash":
            yield Told(block, after if after and after.tag == "text" else None)


def as_told(expected: str, seen: str) -> bool:
    """Whether this is what the tutorial shows: `…` stands for anything, and one blank for any."""
    first, *others = [r"\s+".join(map(re.escape, part.split())) for part in expected.split("…")]
    text, place = seen.strip(), 0
    for number, part in enumerate([first, *others]):
        pattern = re.compile(part if number < len(others) else rf"{part}\Z")
        found = pattern.search(text, place) if number else pattern.match(text)
        if not found:
            return False
        place = found.end()
    return True


class Terminal:
    """A shell that takes one block after the other."""

    def __init__(self, checkout: Path, log: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        self._shell = Popen(
            ["bash"], cwd=checkout, env=own, stdin=PIPE, stdout=PIPE, stderr=STDOUT, text=True, start_new_session=True
        )
        self._log = log.open("a")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream(self._shell.stdin).close()
        self._shell.wait(_DOWN_WITHIN)
        self._stream(self._shell.stdout).close()
        self._log.close()

    def copy(self, block: Block) -> tuple[int, str]:
        """Put a block into it; its exit code, and what came on the screen."""
        given = self._stream(self._shell.stdin)
        given.write(f"{block.text}\nprintf '\\n{_END_OF_BLOCK} %s\\n' $?\n")
        given.flush()
        seen: list[str] = []
        for line in self._stream(self._shell.stdout):
            self._log.write(line)
            self._log.flush()
            if line.startswith(_END_OF_BLOCK):
                return int(line.split()[-1]), "".join(seen)
            seen.append(line)
        pytest.fail(f"the shell ended in the block of line {block.line}: {''.join(seen)}")

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream
        return stream


class FirstTerminal:
    """Where the local cloud runs, until Ctrl-C."""

    def __init__(self, told: Told, checkout: Path, log: Path) -> None:
        self._told, self._log = told, log
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        with log.open("w") as out:
            self._shell = Popen(
                ["bash", "-c", told.commands.text],
                cwd=checkout,
                env=own,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        assert self._told.expected
        deadline = time.monotonic() + _UP_WITHIN
        while not as_told("…" + self._told.expected.text, self._log.read_text()):
            if self._shell.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"terminal 1 does not show what it should: {self._log.read_text()}")
            time.sleep(_LOOK)
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()

    def interrupt(self) -> None:
        """Ctrl-C, which every process of the terminal gets; returns when all have ended."""
        here = [process for process in psutil.process_iter() if _session(process) == self._shell.pid]
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGINT)
        self._shell.wait(_DOWN_WITHIN)
        _, alive = psutil.wait_procs(here, _DOWN_WITHIN)
        assert alive == []


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The checkout, but for a `.local` of its own: nobody's local cloud is disturbed."""
    # Set up where it is: otherwise `make up` would install the product from where it is not for long.
    subprocess.run(["make", "setup"], cwd=ROOT, check=True)
    for entry in ROOT.iterdir():
        if entry.name not in (".local", ".git"):
            (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


@pytest.mark.timeout(1800)
def test_who_copies_the_tutorial_ends_where_it_says(checkout: Path) -> None:
    begin, *middle, clean_up = tutorial()
    assert (begin.commands.more, clean_up.commands.more) == (FIRST_TERMINAL, AFTER_CTRL_C)
    with Terminal(checkout, checkout / "terminals.log") as second:
        with FirstTerminal(begin, checkout, checkout / "terminal-1.log"):
            for told in middle:
                _follow(told, second)
        _follow(clean_up, second)
    assert not (checkout / ".local").exists()


def _follow(told: Told, terminal: Terminal) -> None:
    code, seen = terminal.copy(told.commands)
    assert code == 0, f"tutorial.md:{told.commands.line}: exit code {code}: {seen}"
    if told.expected:
        assert as_told(told.expected.text, seen), f"tutorial.md:{told.expected.line} is not what was seen: {seen}"


@pytest.mark.parametrize(
    ("expected", "seen", "is_it"),
    [
        ("started", "started\n", True),
        ("started", "not started\n", False),
        ("a: …\n…\nready", "a: 1\nb\n\nready\n", True),
        ("a  b …", "a b c\nd", True),
        ("127.….1.…", "127.17.1.4", True),
        ("127.….1.…", "127.17.2.4", False),
    ],
)
def test_what_is_seen_is_compared_with_what_is_told(expected: str, seen: str, is_it: bool) -> None:
    assert as_told(expected, seen) is is_it
