"""FactoryWaveWorkflow: the one writer of a wave's status in Cloud Migration Factory.

CMF's write has no condition, so two writers lose updates. It hears of the wave's migrations by signal; what they have
done it reads from CMF itself, so that one that begins anew knows as much as one that was there from the start.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.cmf import (
        HEARD,
        WAVE_WORKFLOW,
        FactoryUpdates,
        FactoryWaveKey,
        HeardOf,
        MigrationIds,
        WriteWave,
    )
    from migration import policies
    from migration.factory_words import ServerWords
    from migration.models import Model
    from workflows.border import json_text


class FactoryWaveState(Model):
    """The wave, the migrations that run, and what is still to be written.

    Attributes:
        running: The migrations of the wave that run, and whether they wait for a person.
        left: What ended migrations have left to say of their servers.
        unwritten: Something was heard since the last write.
    """

    wave: FactoryWaveKey
    running: Mapping[str, bool] = Field(default_factory=dict)
    left: tuple[ServerWords, ...] = ()
    unwritten: bool = False


@workflow.defn(name=WAVE_WORKFLOW)
class FactoryWaveWorkflow:
    """Writes one wave's status for as long as a migration of it runs or something is left to write."""

    def __init__(self) -> None:
        """Signals may arrive before `run`."""
        self._inbox: list[RawValue] = []
        self._state = FactoryWaveState(wave=FactoryWaveKey(wave_id=""))

    @workflow.run
    async def run(self, payload: RawValue) -> None:
        """Write whenever something was heard; end when nothing is left to write and no migration runs."""
        self._state = _read(payload)
        while True:
            await self._until_there_is_work()
            self._state = self._take_in(self._state)
            if self._state.unwritten:
                self._state = await self._write(self._state)
            elif not self._state.running:
                return
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._take_in(self._state))

    @workflow.signal(name=HEARD, description="A migration of the wave stands otherwise than before")
    def heard(self, told: RawValue) -> None:
        """Keep what came; whether it can be read is seen later."""
        self._inbox.append(told)

    @workflow.query(description="The migrations that run, and what is still to be written")
    def status(self) -> FactoryWaveState:
        """Answer with the state."""
        return self._state

    async def _until_there_is_work(self) -> None:
        """Wait for a signal; without one, look now and then whether the migrations still run."""
        try:
            await workflow.wait_condition(
                lambda: bool(self._inbox) or self._state.unwritten or not self._state.running,
                timeout=policies.FACTORY_WAVE_LOOKS,
                timeout_summary="a look at the migrations that run",
            )
        except TimeoutError:
            self._state = await self._look(self._state)

    def _take_in(self, state: FactoryWaveState) -> FactoryWaveState:
        """Take the signals in, in their order. One that is no such message is dropped."""
        while self._inbox:
            told = self._inbox.pop(0)
            try:
                heard = HeardOf.model_validate_json(json_text(told))
            except ValidationError as error:
                _warn("a signal was dropped", reason=str(error))
                continue
            others = {one: blocked for one, blocked in state.running.items() if one != heard.migration_id}
            running = others if heard.ended else {**others, heard.migration_id: heard.blocked}
            left = {words.names: words for words in (*state.left, *heard.left)}
            state = state.model_copy(update={"running": running, "left": tuple(left.values()), "unwritten": True})
        return state

    async def _write(self, state: FactoryWaveState) -> FactoryWaveState:
        """Write what is so now; an outage is outlasted, and what was heard meanwhile is written next."""
        request = WriteWave(wave=state.wave, blocked=any(state.running.values()), left=state.left)
        written = state.model_copy(update={"unwritten": False, "left": ()})
        try:
            await workflow.execute_activity_method(
                FactoryUpdates.write_wave,
                request,
                summary=f"status of wave {state.wave.wave_id}",
                **policies.TELL_FACTORY,
            )
        except FailureError as error:  # tried again when something else is heard
            _warn("Cloud Migration Factory refused the wave's status", reason=str(error.__cause__ or error))
            return written.model_copy(update={"left": state.left})
        return written

    async def _look(self, state: FactoryWaveState) -> FactoryWaveState:
        """Forget migrations that were terminated: they have told nobody."""
        try:
            found = await workflow.execute_activity_method(
                FactoryUpdates.still_running,
                MigrationIds(migration_ids=tuple(state.running)),
                summary="which migrations run",
                **policies.READ,
            )
        except FailureError as error:
            _warn("the migrations of the wave could not be looked at", reason=str(error.__cause__ or error))
            return state
        running = {one: blocked for one, blocked in state.running.items() if one in found.migration_ids}
        return state.model_copy(update={"running": running, "unwritten": running != state.running})


def _read(payload: RawValue) -> FactoryWaveState:
    try:
        return FactoryWaveState.model_validate_json(json_text(payload))
    except ValidationError as error:
        words = f"expected a wave of Cloud Migration Factory: {error}"
        raise ApplicationError(words, type="ValidationError", non_retryable=True) from None


def _warn(words: str, **details: Any) -> None:
    workflow.logger.warning(words, extra=details)
