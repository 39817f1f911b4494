"""One signal and one update for each decision: both carry plain JSON, and share one desk under a lock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from migration.decisions import DECISIONS, DecisionAnswer, DecisionName
    from migration.parsing import RequestErrors
    from workflows.desk import DecisionDesk, Refused, parse_decision

REFUSED = "DecisionRefused"


class TakesDecisions:
    """Gives a workflow one signal and one update for each decision (see the end of this file)."""

    _desk: DecisionDesk | None = None
    _desk_lock: asyncio.Lock

    async def _take(self, name: DecisionName, payload: RawValue) -> DecisionAnswer:
        # A handler that can answer at once does not yield before: an update that is accepted and completed in one go
        # cannot be replayed with the publisher's commands in between (TMPRL1100, seen under load).
        if self._desk is None:
            await workflow.wait_condition(lambda: self._desk is not None)
        async with self._desk_lock:
            if self._desk is None:  # pragma: no cover  waited for above; for the type checker
                raise Refused("the migration has not begun")
            return await self._desk.take(name, payload)


Handler = Callable[..., Awaitable[Any]]


def _signal_handler(name: DecisionName) -> Handler:
    async def handle(self, payload: RawValue) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  see _offer
        try:
            await self._take(name, payload)
        except Refused as refusal:
            about = {"correlation_id": self._desk.status.correlation_id, "decision": name, "reason": str(refusal)}
            workflow.logger.info("decision refused", extra=about)

    return handle


def _update_handler(name: DecisionName) -> Handler:
    async def handle(self, payload: RawValue) -> DecisionAnswer:  # type: ignore[no-untyped-def]  # noqa: ANN001  see _offer
        try:
            answer: DecisionAnswer = await self._take(name, payload)
        except Refused as refusal:
            _refuse(str(refusal))
        return answer

    return handle


def _shape_check(name: DecisionName) -> Callable[..., None]:
    def check(self, payload: RawValue) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, ARG001  see _offer
        try:
            parse_decision(name, payload)
        except RequestErrors as errors:
            _refuse(str(errors))

    return check


def _refuse(message: str) -> NoReturn:
    raise ApplicationError(message, type=REFUSED, non_retryable=True)


def _offer(name: DecisionName, about: str | None) -> None:
    """Add the signal and the update of that name.

    The SDK counts a parameter as `self` only where it has no annotation, and reads a payload as RawValue only
    where the count of parameters fits: hence the bare `self` of the handlers.
    """
    # A migration waits for its handlers before it ends; one whose request is refused never answers them.
    unanswered = workflow.HandlerUnfinishedPolicy.ABANDON
    signal = workflow.signal(name=name, description=about, unfinished_policy=unanswered)(_signal_handler(name))
    update = workflow.update(name=name, description=about, unfinished_policy=unanswered)(_update_handler(name))
    update.validator(_shape_check(name))
    setattr(TakesDecisions, f"{name}_signal", signal)
    setattr(TakesDecisions, f"{name}_update", update)


for _name, _model in DECISIONS.items():
    _offer(_name, _model.__doc__)
