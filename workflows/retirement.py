"""The end of the source: kept for a while, and then retired as the request says, unless somebody keeps it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cmdb import Inventory, RetireItems
    from activities.source import SourceMachines, Sources
    from migration.request import CmdbSystem, SourceAfter, SourceSnapshot
    from migration.status import Awaiting, Phase
    from migration.steps import Step
    from workflows.context import Context, Scene
    from workflows.cutover import source_snapshots


class Retirement(Scene):
    """What a retirement is made of. Its acts lie behind the point of no return: they only go forward."""

    def __init__(self, context: Context, only_forward: Callable[..., Awaitable[None]]) -> None:
        """`only_forward` acts until it is done, with a person's help where that is needed."""
        super().__init__(context)
        self._only_forward = only_forward

    async def grace(self, until: datetime) -> None:
        """Keep the source until then, or longer if somebody says so."""
        if until <= workflow.now():
            return
        self._journal.changed(f"the source is kept until {until:%Y-%m-%d %H:%M:%S %Z}")
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._status.source_kept_by is not None,
                timeout=until - workflow.now(),
                timeout_summary="grace period of the source",
            )

    async def approve_deletion(self) -> None:
        """A deleted source cannot come back: the approvers are asked once more."""
        rules, status = self._request.approval, self._status
        if status.source_kept_by is not None or rules is None:
            return
        awaiting = Awaiting(
            what="delete",
            message=f"{rules.minimum} approval(s) of deleting the source",
            who=tuple(rules.approvers),
            needed=rules.minimum,
            choices=("approve", "keepSource"),
        )
        self._journal.phase(Phase.AWAITING_DECISION, awaiting.message, awaiting)
        await self._context.decided(
            lambda: len(status.deletion_approvals) >= rules.minimum or status.source_kept_by is not None,
            "approval of deleting the source",
        )
        self._journal.phase(Phase.DECOMMISSIONING, "decided")

    async def snapshots(self) -> None:
        """Remove the source's snapshots of every entry of the cutover: nothing leads back to them any more."""
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            for entry in range(1, self._journal.progress(Step.CUTOVER).entry + 1):
                snapshots = source_snapshots(self._context, entry)
                await self._only_forward(Sources.remove_source_snapshots, snapshots, "remove the source snapshots")

    async def source(self) -> None:
        """Switch the machines off for good, or delete them."""
        machines = SourceMachines(connection=self._request.source.connection, sources=self._context.sources)
        delete = self._request.source_after is SourceAfter.DELETE
        retire, what = (Sources.delete_sources, "delete") if delete else (Sources.retire_sources, "retire")
        await self._only_forward(retire, machines, f"{what} the source servers")

    async def items(self) -> None:
        """Note the retirement in the CMDB."""
        cmdb = self._request.cmdb
        if cmdb.system is CmdbSystem.SERVICENOW and cmdb.items:
            request = RetireItems(
                connection=cmdb.connection or "",
                mark=self._context.mark(Step.DECOMMISSION),
                item_ids=tuple(item.id for item in cmdb.items),
            )
            await self._only_forward(Inventory.retire_items, request, "note the retirement in the CMDB")
