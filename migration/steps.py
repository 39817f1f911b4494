"""The steps of a migration, and which of them a request asks for."""

from collections.abc import Sequence
from enum import StrEnum


class Step(StrEnum):
    """One stage of a migration that people see, in the order in which they come."""

    VALIDATE = "validate"
    PREPARE = "prepare"
    REPLICATE = "replicate"
    TEST = "test"
    APPROVE = "approve"
    CUTOVER = "cutover"
    VERIFY = "verify"
    SWITCH = "switch"
    SOAK = "soak"
    FINALIZE = "finalize"
    DECOMMISSION = "decommission"


class MigrationType(StrEnum):
    """How far a migration goes: a rehearsal that leaves the source serving, or the whole way."""

    TEST = "test"
    CUTOVER = "cutover"


STEPS = tuple(Step)
LAST_STEPS = (Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST, Step.FINALIZE, Step.DECOMMISSION)
"""Where `steps` may end: nowhere between approve and soak, or the application would be left between two sides."""

PREFIXES = tuple(STEPS[: STEPS.index(last) + 1] for last in LAST_STEPS)
"""Every list that `steps` may be."""


def plan(steps: Sequence[Step], migration_type: MigrationType) -> tuple[Step, ...]:
    """Say which of the steps apply: a test migration ends after `test`."""
    if migration_type is MigrationType.TEST:
        return tuple(step for step in steps if STEPS.index(step) <= STEPS.index(Step.TEST))
    return tuple(steps)


def implied_type(steps: Sequence[Step] | None) -> MigrationType:
    """Say what a request without a migrationType means: a cutover only where its own `steps` spell one out."""
    return MigrationType.CUTOVER if steps and Step.CUTOVER in steps else MigrationType.TEST
