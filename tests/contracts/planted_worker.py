"""The product's worker, with three activities of a test that act and wait as the product's do. Its argument: a folder.

Whoever reads the folder sees what was done, and says there when a call comes back and a wait ends.
"""

import asyncio
import sys
import time
from datetime import timedelta
from pathlib import Path

from temporalio import activity

import worker
from activities.errors import translated
from activities.running import acting
from migration.errors import MigrationExecutionError
from migration.models import Model

BOUND = timedelta(minutes=1)
LOOK = timedelta(milliseconds=50)


class Act(Model):
    """What is to be done, under a name."""

    name: str


FOLDER = Path(sys.argv[1])


def _once(act: Act) -> None:
    """Act, if nobody has."""
    with FOLDER.joinpath(f"{act.name}.acted").open("a") as mark:
        if not mark.tell():
            mark.write("acted\n")


def _said(name: str) -> bool:
    return FOLDER.joinpath(f"{name}.go").exists()


@activity.defn(no_thread_cancel_exception=True)
@translated(MigrationExecutionError)
def call(act: Act) -> int:
    """A call that takes its time, and is not to be interrupted."""
    with acting(BOUND) as attempt:
        attempt.before_call()
        _once(act)
        while not _said(act.name):
            time.sleep(LOOK.total_seconds())
    return activity.info().attempt


@activity.defn(no_thread_cancel_exception=True)
@translated(MigrationExecutionError)
def wait(act: Act) -> int:
    """An act, and a wait for what comes of it."""
    with acting(BOUND) as attempt:
        attempt.before_call()
        _once(act)
        attempt.until(lambda: None if _said(act.name) else "not yet", LOOK)
    return activity.info().attempt


@activity.defn(no_thread_cancel_exception=True)
@translated(MigrationExecutionError)
def many_calls(act: Act) -> int:
    """One short call after the other."""
    with acting(BOUND) as attempt:
        while not _said(act.name):
            attempt.before_call()
            _once(act)
            time.sleep(LOOK.total_seconds())
    return activity.info().attempt


if __name__ == "__main__":
    vars(worker)["activities"] = lambda *_: [call, wait, many_calls]
    asyncio.run(worker.main())
