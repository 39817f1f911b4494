"""The switch: users are sent to the target, and the CMDB says so."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.cmdb import Inventory, ItemMoved, ReadItems, RecordMove, RestoreItems
    from activities.dns import ChangeRecords, DomainNameSystem, RecordChange
    from activities.target import Instances, Targets
    from migration import policies
    from migration.ports import RecordSet
    from migration.request import CmdbSystem
    from migration.steps import Step
    from workflows.context import Context, Scene
    from workflows.gate import swapped
    from workflows.launches import Launches
    from workflows.saga import RestoreInventory, RestoreNames, UnprotectTarget


class Switch(Scene):
    """What a switch is made of, in the order in which it is done."""

    async def note_addresses(self) -> None:
        """A skipped verify step leaves the addresses unknown."""
        if any(server.address is None for server in self._context.servers):
            await Launches(self._context).status_checks(self._context.instance_ids)

    async def protect(self) -> None:
        """Nobody terminates what is about to take writes."""
        instances = Instances(where=self._context.where, instance_ids=self._context.instance_ids)
        self._context.register(
            UnprotectTarget(
                step=Step.SWITCH, what="lift the termination protection", instance_ids=instances.instance_ids
            )
        )
        await self._context.do(
            Targets.protect_targets, instances, policies.ACT, "protect the instances from termination"
        )

    async def names(self) -> None:
        """Change the records. From now on the target may take writes that the source lacks."""
        request = ChangeRecords(mark=self._context.mark(Step.SWITCH), changes=record_changes(self._context))
        self._status.divergence_since = workflow.now()
        if not request.changes:
            return
        self._context.register(
            RestoreNames(
                step=Step.SWITCH,
                what="put the DNS records back",
                mark=request.mark,
                changes=tuple(swapped(change) for change in request.changes),
            )
        )
        await self._context.do(DomainNameSystem.change_records, request, policies.ACT, "switch DNS to the target")

    async def record_move(self) -> None:
        """Let the CMDB's items name the instances, with their fields as they were kept for the way back."""
        cmdb, mark = self._request.cmdb, self._context.mark(Step.SWITCH)
        if cmdb.system is not CmdbSystem.SERVICENOW or not cmdb.items:
            return
        connection, ids = cmdb.connection or "", tuple(item.id for item in cmdb.items)
        before = await self._context.do(
            Inventory.read_items, ReadItems(connection=connection, item_ids=ids), policies.READ, "read the CMDB items"
        )
        self._context.register(
            RestoreInventory(
                step=Step.SWITCH,
                what="put the CMDB items back",
                request=RestoreItems(connection=connection, mark=mark, items=before.items),
            )
        )
        servers = [(item.id, self._context.progress_of(item.server)) for item in cmdb.items]
        moved = tuple(
            ItemMoved(item_id=item_id, instance_id=server.instance_id or "", address=server.address or "")
            for item_id, server in servers
        )
        await self._context.do(
            Inventory.record_move,
            RecordMove(connection=connection, mark=mark, items=moved),
            policies.ACT,
            "record the move in the CMDB",
        )


def record_changes(context: Context) -> tuple[RecordChange, ...]:
    """What the switch does to each record, from how the gate has left it."""
    changes = []
    for name in context.names:
        after, before = context.record_after(name.index), name.before
        if before is not None:
            before = RecordSet(ttl=min(before.ttl, after.ttl), values=before.values)
        key = context.record_key(name.index)
        provider = context.request.dns[name.index].provider
        changes.append(RecordChange(provider=provider, key=key, before=before, after=after))
    return tuple(changes)
