"""What Temporal knows of migrations: which run, which have lost their run, and in which accounts they are."""

import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from migration.errors import MigrationError, Unavailable
from migration.ports import Where
from migration.status import Phase
from starter.client import WORKFLOW, Migrations
from starter.reconcile.orphans import DeadRun, where_of

_PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
_ACCOUNT = SearchAttributeKey.for_keyword("TargetAccount")
_REGION = SearchAttributeKey.for_keyword("TargetRegion")
_QUERY = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew'"
_PAGE = 1000

_RUNNING = WorkflowExecutionStatus.RUNNING
_FAILED = WorkflowExecutionStatus.FAILED
_WITHOUT_OWN_CODE = frozenset({WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT})


class Runs:
    """Every run that Temporal keeps, by migration, the newest first."""

    def __init__(self, executions: Iterable[WorkflowExecution]) -> None:
        """Sort what was listed."""
        self._of: dict[str, list[WorkflowExecution]] = defaultdict(list)
        for one in sorted(executions, key=lambda one: one.start_time, reverse=True):
            self._of[one.id].append(one)

    @property
    def running(self) -> frozenset[str]:
        """The migrations that a run works on."""
        return frozenset(name for name, runs in self._of.items() if any(run.status is _RUNNING for run in runs))

    @property
    def dead(self) -> dict[str, DeadRun]:
        """The migrations whose last run that did anything ended without its own code."""
        found = ((name, _dead(runs)) for name, runs in self._of.items())
        return {name: run for name, run in found if run is not None}

    def known(self, migration_id: str) -> bool:
        """Whether any run of it is kept."""
        return migration_id in self._of

    def places(self) -> dict[tuple[str, str], WorkflowExecution]:
        """Every account and region that migrations went to, and one of the runs that did."""
        places: dict[tuple[str, str], WorkflowExecution] = {}
        for run in (run for runs in self._of.values() for run in runs):
            account, region = run.typed_search_attributes.get(_ACCOUNT), run.typed_search_attributes.get(_REGION)
            if account and region:
                places.setdefault((account, region), run)
        return places

    def place_of(self, migration_id: str) -> str | None:
        """The account/region that it went to, as its latest run says."""
        place = next(iter(Runs(self._of.get(migration_id, ())).places()), None)
        return "/".join(place) if place else None


async def all_runs(client: Client) -> Runs:
    """List every migration's runs.

    Raises:
        Unavailable: Temporal does not answer.
    """
    try:
        return Runs([run async for run in client.list_workflows(_QUERY, page_size=_PAGE)])
    except RPCError as error:
        raise Unavailable(f"Temporal cannot list its workflows: {error.message}") from error


async def runs_now(client: Client, migration_id: str) -> bool:
    """Whether a run works on it at this moment: asked of the server itself, since lists lag behind.

    Raises:
        Unavailable: Temporal does not answer.
    """
    try:
        return (await client.get_workflow_handle(migration_id).describe()).status is _RUNNING
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise Unavailable(f"Temporal says nothing of {migration_id}: {error.message}") from error


async def with_state(migrations: Migrations, client: Client, run: DeadRun) -> DeadRun:
    """Ask a dead run for its state; one that ended before its first task has done nothing: its input is its state."""
    try:
        return replace(run, carried=await migrations.carried(run.migration_id, run.run_id))
    except MigrationError as error:
        given = await _input_of(client, run.migration_id, run.run_id, if_nothing_else=True)
        return replace(run, carried=given, trouble=str(error))


async def _input_of(
    client: Client, migration_id: str, run_id: str, *, if_nothing_else: bool = False
) -> dict[str, Any] | None:
    """What a run was started with, as something carried; None when that cannot be had, or more has happened since."""
    given = None
    with suppress(RPCError, ValueError, IndexError, AttributeError):
        handle = client.get_workflow_handle(migration_id, run_id=run_id)
        async for event in handle.fetch_history_events():
            if given is None:
                text = event.workflow_execution_started_event_attributes.input.payloads[0].data
                document = json.loads(text)
                given = document if isinstance(document.get("request"), str) else {"request": text.decode()}
            if not if_nothing_else:
                break
            if event.HasField("workflow_task_completed_event_attributes"):
                return None
    return given


async def reached_through(client: Client, place: tuple[str, str], run: WorkflowExecution) -> Where:
    """The account and region with the role that this run's request names."""
    account, region = place
    where = where_of(await _input_of(client, run.id, run.run_id))
    role = where.role_arn if where and (where.account_id, where.region) == place else None
    return Where(account_id=account, region=region, role_arn=role)


def _dead(runs: list[WorkflowExecution]) -> DeadRun | None:
    """Look behind starts that were refused: they touched nothing, and hide who held the claim they were refused by."""
    for run in runs:
        if _was_refused(run):
            continue
        if run.status not in _WITHOUT_OWN_CODE and run.status is not _FAILED:
            return None
        return DeadRun(
            migration_id=run.id,
            run_id=run.run_id,
            latest=runs[0].run_id,
            ended=run.status.name.replace("_", " ").lower() if run.status else "",
            closed=run.close_time or run.start_time,
            task_queue=run.task_queue,
        )
    return None


def _was_refused(run: WorkflowExecution) -> bool:
    phase = run.typed_search_attributes.get(_PHASE)
    return run.status is _FAILED and (phase is None or phase == Phase.FAILED)
