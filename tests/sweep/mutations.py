"""Looks switched off, one activity at a time: an activity that acts without looking must make the sweep fail.

Each mutation leaves an undisturbed migration as it is. Where two looks stand behind each other, both are off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from tests.sweep.cases import ACTIVITY, AFTER_SWITCH, FORWARD, UNRECORDED, Case, Ending, Point

# ruff: noqa: PLC0415  only a worker that is mutated loads what it mutates

VARIABLE = "SWEEP_MUTATION"
"""The environment variable that tells a worker which activity is to act without looking."""


def _instead(owner: Any, name: str, *types: str) -> Callable[[Callable[..., Any]], None]:
    """Put another function in the place of one of this module or class, in the activities of these types alone.

    The other one gets the original as its first argument.
    """
    original = getattr(owner, name)

    def put(blind: Callable[..., Any]) -> None:
        def chosen(*args: Any, **more: Any) -> Any:
            mutated = activity.in_activity() and activity.info().activity_type in types
            return blind(original, *args, **more) if mutated else original(*args, **more)

        setattr(owner, name, chosen)

    return put


def _nothing(*_: Any, **__: Any) -> None:
    return None


# --- MGN -------------------------------------------------------------------------------------------------------------


def _blind_mgn(kind: str) -> None:
    """A record is changed whatever it says, and an unclear answer stays unclear."""
    from adapters.aws import aws_call
    from adapters.mgn.service import Mgn

    @_instead(Mgn, "_reach", kind)
    def reach(_original: Any, _self: Any, operation: str, _server: str, act: Callable[[], object], _is: Any) -> None:
        with aws_call(operation):
            act()


def _groups_are_not_looked_for() -> None:
    from adapters.mgn.groups import Groups

    _instead(Groups, "_named", "configure_replication")(_nothing)


def _templates_are_not_compared() -> None:
    from adapters.mgn import launch

    @_instead(launch.LaunchSettings, "_write_template", "set_launch_targets")
    def write(_original: Any, self: Any, template: str, target: Any, description: str) -> None:
        wanted = launch.wanted_template(self._version(template, "$Default")["LaunchTemplateData"], target)
        number = self._create_version(template, wanted, description)
        self._ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))


def _jobs_are_not_looked_for(kind: str) -> Callable[[], None]:
    def apply() -> None:
        from activities import jobs

        _instead(jobs, "marked", kind)(_nothing)

    return apply


def _terminations_are_not_looked_for() -> None:
    from activities import jobs

    _instead(jobs, "marked", "terminate_targets")(_nothing)

    def all_of_them(_original: Any, _job_or_cloud: Any, records: Any) -> list[Any]:
        return list(records)

    _instead(jobs, "remaining", "terminate_targets")(all_of_them)
    _instead(jobs, "with_live_instances", "terminate_targets")(all_of_them)


def _states_are_not_compared() -> None:
    from activities import records

    _blind_mgn("change_life_cycle")

    @_instead(records, "change_states", "change_life_cycle")
    def change(_original: Any, service: Any, attempt: Any, ids: Any, state: str, _poll: Any) -> None:
        for one in ids:
            attempt.before_call()
            service.change_life_cycle_state(one, state)


def _finalized_again() -> None:
    from activities import records

    _blind_mgn("finalize_cutover")

    @_instead(records, "finalize", "finalize_cutover")
    def finalize(_original: Any, service: Any, attempt: Any, ids: Any) -> None:
        for one in ids:
            attempt.before_call()
            service.finalize_cutover(one)


def _archived_again() -> None:
    from activities import records

    _blind_mgn("archive")

    @_instead(records, "archive", "archive")
    def archive(_original: Any, service: Any, attempt: Any, ids: Any) -> None:
        for one in ids:
            attempt.before_call()
            service.archive(one)


def _removed_again() -> None:
    from activities import records
    from activities.running import remembered

    _blind_mgn("remove_records")

    @_instead(records, "take_out_of_service", "remove_records")
    def remove(_original: Any, service: Any, attempt: Any, found: Any, _poll: Any) -> None:
        ids = tuple(dict.fromkeys([*remembered(records.Removal).source_server_ids, *found]))
        attempt.remember(records.Removal(source_server_ids=ids))
        for one in ids:
            attempt.before_call()
            service.disconnect(one)
            service.archive(one)


# --- the source ------------------------------------------------------------------------------------------------------


def _agents_are_not_looked_for() -> None:
    from activities import source
    from adapters.ssm import Ssm

    @_instead(source, "is_registered", "install_agents")
    def is_registered(*_: Any) -> bool:
        return False

    _instead(Ssm, "_under_way", "install_agents")(_nothing)


def _commands_are_not_looked_for() -> None:
    from adapters.ssm import Ssm

    _instead(Ssm, "find_command", "run_hook")(_nothing)


def _blind_vcenter(kind: str) -> None:
    """A machine is changed whatever it says, and an unclear answer stays unclear."""
    from adapters.vcenter import VCenter
    from adapters.vsphere_errors import translated
    from migration.errors import NotFound

    @_instead(VCenter, "_bring", kind)
    def bring(_original: Any, self: Any, vm: str, _is_so: Any, act: Any, *, read_back: bool = True) -> Any:
        del read_back
        with translated(vm):
            found = self._settled(vm)
            try:
                self._finish(vm, self._session.run(lambda _: act(found)))
            except IndexError as error:
                raise NotFound(f"{vm} has nothing to take away") from error
            return self._settled(vm)


def _cables_are_not_looked_at(kind: str) -> Callable[[], None]:
    def apply() -> None:
        from activities.machines import Machines

        _blind_vcenter(kind)

        @_instead(Machines, "unplug", kind)
        def unplug(_original: Any, self: Any) -> None:
            for machine in self._find():
                self._cable(machine, [card.mac for card in machine.nics], connected=False)

        @_instead(Machines, "plug", kind)
        def plug(_original: Any, self: Any, macs: Any) -> None:
            for machine in self._find():
                self._cable(machine, macs, connected=True)

    return apply


class _Every(tuple[str, ...]):
    """A machine's snapshots, among which every name is."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


def _snapshots_are_not_looked_for(kind: str, seen: tuple[str, ...]) -> Callable[[], None]:
    def apply() -> None:
        from adapters.vcenter import VCenter

        _blind_vcenter(kind)

        @_instead(VCenter, "find", kind)
        def find(original: Any, self: Any, vm: str) -> Any:
            return original(self, vm).model_copy(update={"snapshots": seen})

    return apply


# --- the rest --------------------------------------------------------------------------------------------------------


def _records_are_not_compared(kind: str) -> Callable[[], None]:
    def apply() -> None:
        from adapters import route53

        @_instead(route53, "_has_to_change", kind)
        def has_to_change(*_: Any) -> bool:
            return True

    return apply


def _lines_are_not_looked_for(kind: str) -> Callable[[], None]:
    def apply() -> None:
        from activities import cmdb

        @_instead(cmdb, "_with_line", kind)
        def with_line(_original: Any, comments: str, line: str) -> str:
            return f"{line}\n{comments}".strip()

    return apply


def _kept_snapshots_are_not_looked_for() -> None:
    from adapters.ec2 import Ec2

    @_instead(Ec2, "_tagged_snapshots", "preserve_targets")
    def tagged(*_: Any) -> tuple[str, ...]:
        return ()


def _claims_are_not_recognised() -> None:
    from adapters import dynamodb
    from migration.errors import Conflict

    @_instead(dynamodb, "_granted", "claim_migration")
    def granted(original: Any, claim: Any, held: Any, *, again: bool) -> Any:
        if held is not None:
            raise Conflict("held by somebody")
        return original(claim, held, again=again)


@dataclass(frozen=True)
class Mutation:
    """An activity that acts without looking, and the migration in which its worker dies before it is recorded.

    Attributes:
        nth: Which of the activities of its type.
    """

    apply: Callable[[], None]
    ending: Ending = FORWARD
    nth: int = 1

    def case(self, name: str) -> Case:
        """The case that must find out."""
        return Case(self.ending, UNRECORDED, (Point(ACTIVITY, name, None, self.nth),))


MUTATIONS: Mapping[str, Mutation] = {
    "claim_migration": Mutation(_claims_are_not_recognised),
    "install_agents": Mutation(_agents_are_not_looked_for),
    "configure_replication": Mutation(_groups_are_not_looked_for),
    "set_launch_targets": Mutation(_templates_are_not_compared, nth=2),
    "start_test": Mutation(_jobs_are_not_looked_for("start_test")),
    "change_life_cycle": Mutation(_states_are_not_compared),
    "terminate_targets": Mutation(_terminations_are_not_looked_for),
    "change_records": Mutation(_records_are_not_compared("change_records"), nth=2),
    "run_hook": Mutation(_commands_are_not_looked_for),
    "shut_down_sources": Mutation(_cables_are_not_looked_at("shut_down_sources")),
    "snapshot_sources": Mutation(_snapshots_are_not_looked_for("snapshot_sources", ())),
    "start_cutover": Mutation(_jobs_are_not_looked_for("start_cutover")),
    "record_move": Mutation(_lines_are_not_looked_for("record_move")),
    "finalize_cutover": Mutation(_finalized_again),
    "archive": Mutation(_archived_again),
    "remove_source_snapshots": Mutation(_snapshots_are_not_looked_for("remove_source_snapshots", _Every())),
    "retire_sources": Mutation(_cables_are_not_looked_at("retire_sources")),
    "retire_items": Mutation(_lines_are_not_looked_for("retire_items")),
    "restore_sources": Mutation(_cables_are_not_looked_at("restore_sources"), AFTER_SWITCH),
    "restore_records": Mutation(_records_are_not_compared("restore_records"), AFTER_SWITCH),
    "preserve_targets": Mutation(_kept_snapshots_are_not_looked_for, AFTER_SWITCH),
    "remove_records": Mutation(_removed_again, AFTER_SWITCH),
}

HARMLESS: Mapping[str, str] = {
    "protect_targets": "ModifyInstanceAttribute says how the protection is to be: on twice is on",
    "unprotect_targets": "ModifyInstanceAttribute says how the protection is to be: off twice is off",
    "fence_targets": "StopInstances on an instance that is stopping or stopped does nothing",
    "restore_items": "the earlier fields are put back: a PATCH that changes nothing is no update (Table API)",
    "finish_claim": "the row of the claim gets the same end, and a server's claim is deleted only where it is ours",
    "save_state": "the row is put only where its version rises: the same one again is refused by the condition",
    "put_events": "a second event has the same id in its detail, by which its reader knows it",
    "tell_servers": "a server's attributes say how it is: said twice, they say the same",
    "write_wave": "a wave's status says how it is, and has one writer: said twice, it says the same",
    "deliver_callback": "a second delivery has the same webhook-id, by which its receiver knows it (Standard Webhooks)",
}
"""Activities whose call may be made twice by its own nature, and why."""


def mutate(name: str) -> None:
    """Leave the looks of that activity out in this process; an empty name leaves none out."""
    if name:
        MUTATIONS[name].apply()
