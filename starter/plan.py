"""`migrator plan`: what a request would find and touch. A worker looks, with its connections; nothing is changed."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.service import RPCError

from migration import policies
from migration.correlation import correlation_id
from migration.errors import PrerequisiteError, Unavailable
from migration.findings import Finding, Severity
from migration.memo import CORRELATION_ID
from migration.parsing import parse_request
from migration.plan import Plan, Touch, plan_id
from migration.settings import Settings
from starter import terminal, view
from starter.client import connect, json_payload
from starter.terminal import FAILED, Output, OutputOption
from workflows.journal import failure_of

WORKFLOW = "PlanWorkflow"

_TAKEN_UP = 3
"""Events of a workflow that a worker has begun with: started, its first task scheduled, and that task started."""

_LOOK = 0.5

_COLOURS = {Severity.CRITICAL: "red", Severity.WARNING: "yellow", Severity.INFORMATION: "dim"}


def plan(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="a migration request as JSON; - reads standard input")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a request everywhere, and show what it would touch; nothing is changed. Exit code 1: it is blocked."""
    text = terminal.read(file, output)

    async def go() -> Plan:
        migration_id = parse_request(text).migration_id  # before anything is connected
        settings = Settings()
        return await planned(await connect(settings), settings.task_queue, migration_id, text)

    made = terminal.run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(made.model_dump(mode="json") | {"blocked": made.blocked}))
    else:
        view.console().print(screen(made))
    if made.blocked:
        raise typer.Exit(FAILED)


async def planned(
    client: Client,
    task_queue: str,
    migration_id: str,
    text: bytes,
    *,
    taken_within: timedelta = policies.PLAN_TAKEN_WITHIN,
) -> Plan:
    """Let a worker plan.

    Raises:
        PrerequisiteError: The worker could not finish its look; its words.
        Unavailable: Temporal does not answer, or no worker does in time.
    """
    try:
        handle: WorkflowHandle[Any, Plan] = await client.start_workflow(
            WORKFLOW,
            RawValue(json_payload(text)),
            id=plan_id(migration_id, str(uuid4())),
            task_queue=task_queue,
            result_type=Plan,
            execution_timeout=policies.PLANNED_WITHIN,
            memo={CORRELATION_ID: correlation_id(parse_request(text))},
            static_summary=f"plan of {migration_id}",
        )
        if not await _is_taken_up(handle, taken_within):
            await handle.terminate("no worker took it up")
            within = f"{taken_within.total_seconds():.0f} s"
            raise Unavailable(f"no worker of the task queue {task_queue} took the plan up in {within}")
        return await handle.result()
    except WorkflowFailureError as failed:
        raise PrerequisiteError(f"the plan could not be made: {failure_of(failed).message}") from failed
    except RPCError as error:
        raise Unavailable(f"Temporal does not answer: {error.message}") from error


async def _is_taken_up(handle: WorkflowHandle[Any, Plan], within: timedelta) -> bool:
    """Whether a worker has begun with it, looked at until it has or the time is over."""
    ends_at = asyncio.get_running_loop().time() + within.total_seconds()
    while (await handle.describe()).history_length < _TAKEN_UP:
        if asyncio.get_running_loop().time() >= ends_at:
            return False
        await asyncio.sleep(_LOOK)
    return True


# --- how it looks ------------------------------------------------------------------------------------------------


def screen(made: Plan) -> RenderableType:
    """Findings, steps, and every resource in the order in which it would be touched."""
    return Group(*_parts(made))


def _parts(made: Plan) -> Iterator[RenderableType]:
    yield Text(f"{made.migration_id}: {', '.join(made.steps)}", style="bold")
    yield _findings(made.findings) if made.findings else Text("no findings", style="green")
    yield _touches(made.touches)
    critical = [finding.code for finding in made.findings if finding.severity is Severity.CRITICAL]
    warnings = sum(finding.severity is Severity.WARNING for finding in made.findings)
    if critical:
        yield Text(f"blocked by {', '.join(dict.fromkeys(critical))}; nothing was changed", style="red")
    else:
        yield Text(f"not blocked; {warnings} warning(s) to acknowledge; nothing was changed")


def _findings(findings: tuple[Finding, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        severity = Text(finding.severity, style=_COLOURS[finding.severity])
        about = f" ({finding.subject})" if finding.subject else ""
        table.add_row(severity, f"{finding.code}{about}", finding.message)
        if finding.action:
            table.add_row("", "", Text(finding.action, style="dim"))
    return table


def _touches(touches: tuple[Touch, ...]) -> Table:
    table, last = Table.grid(padding=(0, 2)), None
    for touch in touches:
        table.add_row(touch.step if touch.step is not last else "", touch.system, f"{touch.resource}: {touch.change}")
        if touch.undo:
            table.add_row("", "", Text(f"a rollback: {touch.undo}", style="dim"))
        last = touch.step
    return table
