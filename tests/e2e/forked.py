"""The commands of a page, run on the local cloud as they stand there."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.local_cloud import ROOT, LocalCloud, Ran
from tests.pages import Command

# Run with -P: its own folder has a module of the name of one of Python's.
_FORKER = Path(__file__).with_name("forker.py")


@dataclass(frozen=True)
class Executed:
    """A command, and how it ended."""

    command: Command
    ran: Ran


@dataclass
class Shell:
    """Runs commands one after the other, with values for what is the reader's to put in."""

    cloud: LocalCloud
    directory: Path
    values: Mapping[str, str]
    done: list[Executed] = field(default_factory=list)
    _forker: Process | None = None

    async def __aenter__(self) -> Self:
        self.directory.mkdir(exist_ok=True)
        self._forker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            _FORKER,
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env=self.cloud.environment,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if self._forker and self._forker.stdin:
            self._forker.stdin.close()
            await self._forker.wait()

    async def run(self, command: Command, **more: str) -> Ran:
        """Run it; `more` are values of this time."""
        words = command.words({**self.values, **more})
        if words[0] in ("migrator", "aws"):
            # `aws` of the first generation leads SQS to AWS whatever the environment says, but for this option.
            there = ["--endpoint-url", self.cloud.local["aws"]] if words[:2] == ["aws", "sqs"] else []
            ran = await self._forked([*words, *there])
        else:
            program = str(self.cloud.temporal_binary) if words[0] == "temporal" else words[0]
            ran = await self.cloud.run([program, *words[1:]])
        self.done.append(Executed(command, ran))
        return ran

    async def _forked(self, words: list[str]) -> Ran:
        assert self._forker
        assert self._forker.stdin
        assert self._forker.stdout
        out, err = (self.directory / f"{len(self.done)}.{name}" for name in ("out", "err"))
        asked = {
            "words": words,
            "directory": str(self.directory),
            "out": str(out),
            "err": str(err),
        }
        self._forker.stdin.write(json.dumps(asked).encode() + b"\n")
        code = int(await self._forker.stdout.readline())
        return Ran(code, out.read_text(), err.read_text())
