"""What a migration lets Cloud Migration Factory know: its servers' words, and its wave's own writer.

It goes on beside the steps, none of which ever waits for it. Of each server only the latest words leave; what an outage
has kept back when the migration ends is left to the wave's workflow.
"""

import asyncio
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.cmf import FactoryUpdates, FactoryWaveKey, HeardOf, TellServers, TellWave
    from migration import policies
    from migration.factory_words import ServerWords, is_blocked, server_words
    from migration.findings import Severity
    from migration.models import Model
    from migration.request import CmfLink
    from migration.status import Phase
    from migration.steps import Step
    from workflows.journal import Journal


class FactoryTold(Model):
    """What CMF has been told, for the migration's next run; `behind_since`: when the first words were kept back."""

    servers: tuple[ServerWords, ...] = ()
    wave: HeardOf | None = None
    behind_since: datetime | None = None


class FactoryPublisher:
    """Tells CMF of one migration."""

    def __init__(self, journal: Journal, link: CmfLink, told: FactoryTold) -> None:
        """Begin with what an earlier run has told."""
        self._journal = journal
        self._wave = FactoryWaveKey(connection=link.connection or "", wave_id=link.wave_id)
        self._servers = told.servers
        self._tried = told.servers
        self._heard = told.wave
        self._behind_since = told.behind_since
        self._seen: Hashable = None
        self._wanted: tuple[ServerWords, ...] = ()
        self._telling = self._signalling = self._closing = False

    @property
    def told(self) -> FactoryTold:
        """What CMF knows now."""
        return FactoryTold(servers=self._servers, wave=self._heard, behind_since=self._behind_since)

    async def publish(self) -> None:
        """Tell what changed, for as long as the migration runs: a CMF that is down holds up no signal to the wave."""
        await asyncio.gather(self._tell_servers(), self._tell_wave())

    async def settle(self) -> None:
        """Let what is under way be done, so that no later run overtakes it; an outage is waited for once, shortly."""
        if self._idle:
            return
        until = (self._behind_since or workflow.now()) + policies.FACTORY_SETTLES_WITHIN
        within = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(lambda: self._idle, timeout=within, timeout_summary="last words to CMF")
        except TimeoutError:
            self._warn("Cloud Migration Factory lags behind", wave=self._wave.wave_id)

    async def close(self) -> None:
        """Let the last words leave, and the wave know that none follow; it says what was kept back."""
        await self.settle()
        self._closing = True
        if self._is_member:
            known = {words.names: words for words in self._servers}
            left = tuple(words for words in self._words() if known.get(words.names) != words)
            await self._signal(HeardOf(migration_id=self._journal.status.migration_id, ended=True, left=left))

    # --- servers ---------------------------------------------------------------------------------------------

    async def _tell_servers(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._words() != self._tried)
            self._tried = wanted = self._words()
            known = {words.names: words for words in self._servers}
            changed = tuple(words for words in wanted if known.get(words.names) != words)
            self._telling, self._behind_since = True, self._behind_since or workflow.now()
            try:
                await workflow.execute_activity_method(
                    FactoryUpdates.tell_servers,
                    TellServers(wave=self._wave, servers=changed),
                    summary=f"to CMF: {_in_short(changed)}"[:200],
                    **policies.TELL_FACTORY,
                )
            except FailureError as error:  # told again with the next change, and left to the wave at the end
                self._warn("Cloud Migration Factory refused a server's status", reason=str(error.__cause__ or error))
            else:
                self._servers, self._behind_since = wanted, None
            self._telling = False

    def _words(self) -> tuple[ServerWords, ...]:
        """What CMF should say now. It is worked out anew only when something has changed."""
        if not self._is_known:
            return self._tried
        status = self._journal.status
        parts = ((s.source_server_id, s.replication_state, s.test_instance_id, s.instance_id) for s in status.servers)
        seen = (status.version, *parts)
        if seen != self._seen:
            names = {server.name: (server.name, server.vm, server.address) for server in self._journal.request.servers}
            self._seen = seen
            self._wanted = tuple(
                server_words(status, server, tuple(dict.fromkeys(filter(None, names[server.name]))))
                for server in status.servers
            )
        return self._wanted

    # --- the wave --------------------------------------------------------------------------------------------

    async def _tell_wave(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._is_member and not self._closing and self._now != self._heard)
            await self._signal(self._now)

    async def _signal(self, heard: HeardOf) -> None:
        """One signal at a time, so that they come in their order; what cannot be said is said with the next change."""
        await workflow.wait_condition(lambda: not self._signalling)
        self._heard, self._signalling = heard, True
        try:
            await workflow.execute_activity_method(
                FactoryUpdates.tell_wave,
                TellWave(wave=self._wave, heard=heard),
                summary=f"to the wave {self._wave.wave_id} in CMF",
                **policies.SIGNAL_FACTORY_WAVE,
            )
        except FailureError as error:
            self._warn("the wave's workflow could not be told", reason=str(error.__cause__ or error))
        self._signalling = False

    @property
    def _now(self) -> HeardOf:
        status = self._journal.status
        return HeardOf(migration_id=status.migration_id, blocked=is_blocked(status))

    # --- when ------------------------------------------------------------------------------------------------

    @property
    def _idle(self) -> bool:
        return not (self._telling or self._signalling) and self._words() == self._tried

    @property
    def _is_known(self) -> bool:
        """Whether the checks were made, the servers are ours, and CMF has them in this wave."""
        status = self._journal.status
        checked = bool(status.findings) or any(server.user_provided_id for server in status.servers)
        wrong = (f for f in status.findings if f.severity is Severity.CRITICAL and (f.path or "").startswith("$.cmf"))
        return status.generation > 0 and checked and not any(wrong)

    @property
    def _is_member(self) -> bool:
        """Whether the wave has to know: something was touched, or the checks say that it cannot be."""
        touched = self._journal.progress(Step.PREPARE).entry > 0
        return self._is_known and (touched or self._journal.status.phase is Phase.FAILED)

    def _warn(self, words: str, **details: Any) -> None:
        workflow.logger.warning(words, extra={"correlation_id": self._journal.status.correlation_id, **details})


def _in_short(words: tuple[ServerWords, ...]) -> str:
    said = dict.fromkeys(text for one in words for text in (one.migration_status, one.replication_status) if text)
    return ", ".join(said) or "nothing"
