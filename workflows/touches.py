"""Everything that a migration would touch, step by step, read from its request and from what the checks have seen."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from activities.prerequisites import Prerequisites, SourceFacts
from migration.plan import Touch
from migration.ports import RecordSet
from migration.request import (
    AgentInstall,
    CmdbSystem,
    DnsRecord,
    HookTime,
    MigrationRequest,
    Network,
    Server,
    SourceAfter,
    SourceSnapshot,
    TestMode,
    ToAddress,
    ToServers,
)
from migration.steps import Step


class _Line(NamedTuple):
    system: str
    resource: str
    change: str
    undo: str | None = None


@dataclass(frozen=True)
class _Scene:
    request: MigrationRequest
    sources: Mapping[str, SourceFacts]
    names: Mapping[int, RecordSet | None]

    @property
    def hypervisor(self) -> str:
        return f"{self.request.source.type} {self.request.source.connection}"

    @property
    def tiers(self) -> list[Server]:
        """The servers in the order of their launch."""
        return sorted(self.request.servers, key=lambda server: server.tier)

    def mgn(self, server: Server, change: str, undo: str | None = None) -> _Line:
        """About the server's MGN record: named by its user-provided id, where its machine was found."""
        source = self.sources.get(server.name)
        named = f"{server.name} ({source.user_provided_id})" if source else server.name
        return _Line("MGN", named, change, undo)

    def machine(self, server: Server, change: str, undo: str | None = None) -> _Line:
        """About the server's source machine."""
        return _Line(self.hypervisor, server.vm or server.name, change, undo)

    def launch(self, server: Server, network: Network, undo: str) -> _Line:
        """About an instance that is launched of the server."""
        settings = self.request.launch_settings(server.name, network)
        kind = settings.instance_type or "an instance of MGN's choice"
        where = f"{settings.subnet_id} with {', '.join(settings.security_group_ids)}"
        return _Line("EC2", server.name, f"{kind} is launched into {where}", undo)

    def items(self, change: str, undo: str | None = None) -> Iterator[_Line]:
        """About every item of the CMDB."""
        cmdb = self.request.cmdb
        for item in cmdb.items if cmdb.system is not CmdbSystem.NONE else ():
            yield _Line(cmdb.system, f"{item.id} ({item.server})", change, undo)


def touches(request: MigrationRequest, checked: Prerequisites) -> tuple[Touch, ...]:
    """List what each planned step would change, in the order of the runbook."""
    sources = {source.server: source for source in checked.sources}
    scene = _Scene(request, sources, {name.index: name.before for name in checked.names})
    return tuple(
        Touch(step=step, **line._asdict())
        for step in request.planned_steps
        if step in _TOUCHED_BY
        for line in (*_TOUCHED_BY[step](scene), *_hooks(scene, step))
    )


def _validate(scene: _Scene) -> Iterator[_Line]:
    yield _Line("state table", scene.request.migration_id, "the migrationId is claimed", "the claim is ended")
    for key in scene.request.source_keys:
        yield _Line("state table", key, "the server is claimed", "the claim is given back")
    if scene.request.callback_url is not None:
        yield _Line("callbacks", scene.request.callback_url, "hears of every change of status")


def _prepare(scene: _Scene) -> Iterator[_Line]:
    request = scene.request
    for server in request.servers:
        source = scene.sources.get(server.name)
        theirs = source is not None and source.registered_before
        if server.agent_install is AgentInstall.SSM and not theirs:
            node = (source and source.managed_instance_id) or server.ssm_instance_id or "found by its name"
            yield _Line("Systems Manager", f"{server.name} ({node})", "a command installs the AWS Replication Agent")
        change = f"the source server is registered, tagged, and replicates into {request.staging_subnet_id}"
        yield scene.mgn(server, change, None if theirs else "disconnected and archived, if all is undone")
    yield _Line("MGN", request.app_name, "the application holds the servers")
    if request.wave_id:
        yield _Line("MGN", request.wave_id, "the wave holds the application")
    if request.cmf is not None:
        yield _Line("Cloud Migration Factory", request.cmf.wave_id, "the status of its servers follows each step")


def _test(scene: _Scene) -> Iterator[_Line]:
    launched = scene.request.test.mode is TestMode.LAUNCH
    for server in scene.tiers if launched else ():
        yield scene.launch(server, Network.TEST, "terminated, as at the end of the test")
    for server in scene.request.servers:
        yield scene.mgn(server, "marked READY_FOR_CUTOVER", "READY_FOR_TEST, if all is undone" if launched else None)


def _approve(scene: _Scene) -> Iterator[_Line]:
    for index, record in enumerate(scene.request.dns):
        before = scene.names.get(index)
        if before is not None and before.ttl > record.ttl:
            change, undo = f"time to live {before.ttl} s -> {record.ttl} s", f"{before.ttl} s, where still ours"
            yield _Line(record.provider, f"{record.name} {record.type}", change, undo)
    if (change_ticket := scene.request.change) is not None:
        yield _Line(
            change_ticket.system, change_ticket.number, "read at the gate and before the cutover, noted, closed"
        )


def _cutover(scene: _Scene) -> Iterator[_Line]:
    request = scene.request
    off = "shut down and taken off the network" if request.quiesce.disconnect_nics else "shut down"
    for server in reversed(scene.tiers):
        yield scene.machine(server, off, "power and network cards as they were")
    for server in request.servers if request.source_snapshot is SourceSnapshot.AT_CUTOVER else ():
        yield scene.machine(server, "a snapshot is taken", "removed")
    for server in scene.tiers:
        yield scene.launch(server, Network.PRODUCTION, "stopped, then terminated; after the switch it is kept")


def _switch(scene: _Scene) -> Iterator[_Line]:
    for server in scene.request.servers:
        yield _Line("EC2", server.name, "termination protection on", "termination protection off")
    for index, record in enumerate(scene.request.dns):
        before = scene.names.get(index)
        old = ", ".join(before.values) if before else "no record"
        change = f"{old} -> {_after(scene.request, record)}"
        yield _Line(record.provider, f"{record.name} {record.type}", change, f"{old}, where still ours")
    change = "address, status, correlation and comments name the instance"
    yield from scene.items(change, "the fields as they were, where still ours")


def _after(request: MigrationRequest, record: DnsRecord) -> str:
    if isinstance(record.to, ToAddress):
        return record.to.address
    if isinstance(record.to, ToServers):
        fixed = ((name, request.launch_settings(name).private_ip) for name in record.to.servers)
        return ", ".join(address or f"the address of {name}'s instance" for name, address in fixed)
    return record.to.alias.dns_name


def _finalize(scene: _Scene) -> Iterator[_Line]:
    for server in scene.request.servers:
        yield scene.mgn(server, "the cutover is finalized: the point of no return")


def _decommission(scene: _Scene) -> Iterator[_Line]:
    request = scene.request
    for server in request.servers:
        yield scene.mgn(server, "archived")
    if request.source_after is not SourceAfter.KEEP:
        snapshots = "the snapshot is removed; " if request.source_snapshot is SourceSnapshot.AT_CUTOVER else ""
        deleted = request.source_after is SourceAfter.DELETE
        after = "deleted with its disks, after a second approval" if deleted else "stays off and off the network"
        for server in request.servers:
            yield scene.machine(server, f"{snapshots}{after}")
    yield from scene.items("the retirement is noted")


_TOUCHED_BY: Mapping[Step, Callable[[_Scene], Iterator[_Line]]] = {
    Step.VALIDATE: _validate,
    Step.PREPARE: _prepare,
    Step.TEST: _test,
    Step.APPROVE: _approve,
    Step.CUTOVER: _cutover,
    Step.SWITCH: _switch,
    Step.FINALIZE: _finalize,
    Step.DECOMMISSION: _decommission,
}

_HOOKS: Mapping[HookTime, Step] = {
    HookTime.BEFORE_QUIESCE: Step.CUTOVER,
    HookTime.AFTER_QUIESCE: Step.CUTOVER,
    HookTime.AFTER_LAUNCH: Step.CUTOVER,
    HookTime.BEFORE_ROLLBACK: Step.CUTOVER,
    HookTime.AFTER_ROLLBACK: Step.CUTOVER,
    HookTime.BEFORE_SWITCH: Step.SWITCH,
    HookTime.AFTER_SWITCH: Step.SWITCH,
    HookTime.BEFORE_DECOMMISSION: Step.DECOMMISSION,
}
"""The step that each hook is told with; those of a rollback with the first that a rollback may undo."""


def _hooks(scene: _Scene, step: Step) -> Iterator[_Line]:
    for hook in scene.request.hooks:
        if _HOOKS[hook.at] is step:
            yield _Line(f"{hook.type} hook", hook.ref, f"runs {hook.at} on the {hook.on} of {hook.server}")
