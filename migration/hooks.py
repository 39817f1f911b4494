"""The application's own steps: what is remembered of each hook that ran."""

from datetime import datetime
from enum import StrEnum

from migration.models import Model
from migration.request.choices import HookTime, HookType, Side
from migration.steps import Step


class HookOutcome(StrEnum):
    """How a hook ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class HookResult(Model):
    """One hook that ran.

    Attributes:
        key: Its idempotency key: migrationId/generation/step/entry/hook-INDEX, with the place in the request's list.
        tolerated: It failed, and the request only wants to be warned of that.
        said: What it gave back, or why it failed.
        when: When its outcome was known.
    """

    key: str
    ref: str
    type: HookType
    place: HookTime
    on: Side
    server: str
    step: Step
    outcome: HookOutcome
    tolerated: bool = False
    said: str = ""
    when: datetime
