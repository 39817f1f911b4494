"""The invariants find what is planted, and nothing in a migration that went as it should. Pure data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from localcloud.ledger import Entry
from tests.sweep import invariants
from tests.sweep.cases import AFTER_SWITCH, FORWARD, Case, Names, Point, since_parting
from tests.sweep.checker import Outcome, compare
from tests.sweep.invariants import Evidence, Instance
from tests.sweep.sweep import cases_of

SERVER, SOURCE, TARGET = "billing-web-01", "10.0.0.11", "10.1.0.5"
INSTANCE = "i-1"


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000000Z"


def entry(second: int, call: str, *targets: str, **detail: Any) -> Entry:
    service, operation = call.split()
    return Entry(second, at(second), service, operation, (*targets, SERVER), None, detail)


def dns(second: int, before: str, after: str) -> Entry:
    changes = [{"action": "DELETE", "values": [before]}, {"action": "CREATE", "values": [after]}]
    return entry(second, "route53 ChangeResourceRecordSets", changes=changes)


def launched(second: int, instance: str = INSTANCE) -> Entry:
    detail = {"kind": "cutover", "address": TARGET, "production": True}
    return Entry(second, at(second), "application", "launched", (instance, SERVER), None, detail)


def start_cutover(second: int, mark: str = "mig/1/cutover/1") -> Entry:
    return entry(second, "mgn StartCutover", tags={invariants.MARK_TAG: mark})


def account(*, lost: int = 0, answer: str = TARGET, **more: Any) -> Mapping[str, Any]:
    log = [
        {"server": SERVER, "side": "source", "from": at(0), "to": at(11)},
        {"server": SERVER, "side": "target", "from": at(21), "to": None},
    ]
    servers = [{"name": SERVER, "lostWrites": lost}]
    return {"dns": {"answer": [answer]}, "servers": servers, "servingLog": log, "overlaps": [], **more}


CUTOVER = (
    entry(10, "vcenter ShutdownGuest", "vm-1"),
    entry(12, "vcenter ReconfigVM_Task", "vm-1"),
    start_cutover(20),
    launched(21),
)
SWITCHED = (*CUTOVER, dns(30, SOURCE, TARGET))
FINALIZED = (*SWITCHED, entry(40, "mgn FinalizeCutover"))
FORWARD_RUN = Evidence(
    servers=[SERVER],
    entries=FINALIZED,
    application=account(),
    instances=[Instance(INSTANCE, TARGET, "running"), Instance("i-0", None, "terminated")],
    served_by="target",
    verified=at(29),
)
BACK = (entry(41, "ec2 StopInstances", INSTANCE), entry(42, "vcenter PowerOnVM_Task", "vm-1"))
KEPT_RUN = Evidence(
    servers=[SERVER],
    entries=(*SWITCHED, *BACK, dns(43, TARGET, SOURCE), entry(44, "ec2 CreateSnapshots", INSTANCE, "snap-1")),
    application=account(lost=5, answer=SOURCE),
    instances=[Instance(INSTANCE, TARGET, "stopped", kept=True)],
    preserved=[INSTANCE],
    verified=at(29),
    writes_given_up=True,
)
TERMINATED = entry(50, "application terminated", INSTANCE)


@pytest.mark.parametrize("evidence", [FORWARD_RUN, KEPT_RUN], ids=["forward", "after the switch"])
def test_a_migration_that_went_as_it_should_breaks_nothing(evidence: Evidence) -> None:
    assert list(invariants.broken(evidence)) == []


PLANTED: dict[str, tuple[Callable[[Evidence], Iterator[str]], Evidence]] = {
    "two launches of one entry": (
        invariants.launched_twice,
        replace(FORWARD_RUN, entries=(*CUTOVER, start_cutover(22))),
    ),
    "a launch without a mark": (
        invariants.launched_twice,
        replace(FORWARD_RUN, entries=(entry(20, "mgn StartCutover", tags={}),)),
    ),
    "a launch while the source runs": (invariants.both_sides, replace(FORWARD_RUN, entries=(launched(21),))),
    "a source that comes back while the target runs": (
        invariants.both_sides,
        replace(KEPT_RUN, entries=(*SWITCHED, *reversed(BACK))),
    ),
    "a target that is started again while the source runs": (
        invariants.both_sides,
        replace(KEPT_RUN, entries=(*SWITCHED, *BACK, entry(60, "ec2 StartInstances", INSTANCE))),
    ),
    "two sides in the applications' account": (
        invariants.both_sides,
        replace(FORWARD_RUN, application=account(overlaps=[{"from": at(20), "to": at(21)}])),
    ),
    "a switch before the source was stopped": (
        invariants.served_while_down,
        replace(FORWARD_RUN, entries=(launched(2), dns(3, SOURCE, TARGET), *SWITCHED)),
    ),
    "a source that went off for good": (invariants.served_while_down, replace(FORWARD_RUN, entries=CUTOVER)),
    "a source that came up between quiesce and switch": (
        invariants.served_while_down,
        replace(
            FORWARD_RUN,
            application=account(servingLog=[{"server": SERVER, "side": "source", "from": at(15), "to": at(16)}]),
        ),
    ),
    "writes that nobody has given up": (invariants.writes_lost, replace(KEPT_RUN, writes_given_up=False)),
    "a volume that took traffic deleted without a snapshot": (
        invariants.volumes_lost,
        replace(KEPT_RUN, entries=(*SWITCHED, *BACK, TERMINATED)),
    ),
    "a snapshot that came too late": (
        invariants.volumes_lost,
        replace(KEPT_RUN, entries=(*SWITCHED, *BACK, TERMINATED, entry(51, "ec2 CreateSnapshots", INSTANCE))),
    ),
    "an instance that runs beside a source that serves": (
        invariants.without_owner,
        replace(KEPT_RUN, instances=[Instance(INSTANCE, TARGET, "running", kept=True)]),
    ),
    "an instance that runs where no client goes": (
        invariants.without_owner,
        replace(FORWARD_RUN, instances=[Instance("i-2", "10.1.0.6", "running")]),
    ),
    "a stopped instance that is not listed": (invariants.without_owner, replace(KEPT_RUN, preserved=[])),
    "a stopped instance that has no term": (
        invariants.without_owner,
        replace(KEPT_RUN, instances=[Instance(INSTANCE, TARGET, "stopped")]),
    ),
    "a source given up for a target that nobody saw": (
        invariants.retired_unverified,
        replace(FORWARD_RUN, verified=None),
    ),
    "a source destroyed before the target was seen": (
        invariants.retired_unverified,
        replace(FORWARD_RUN, entries=(*SWITCHED, entry(25, "vcenter Destroy_Task", "vm-1"))),
    ),
}


@pytest.mark.parametrize("planted", list(PLANTED))
def test_what_is_planted_is_found_by_its_invariant(planted: str) -> None:
    invariant, evidence = PLANTED[planted]
    assert len(list(invariant(evidence))) == 1
    assert set(invariant(evidence)) <= set(invariants.broken(evidence))


def test_a_second_entry_may_launch_again() -> None:
    again = (*CUTOVER, *BACK, *(start_cutover(50, "mig/1/cutover/2"),))
    assert list(invariants.launched_twice(replace(FORWARD_RUN, entries=again))) == []


def test_a_terminated_target_that_took_traffic_may_go_when_its_snapshot_is_there() -> None:
    evidence = replace(KEPT_RUN, entries=(*KEPT_RUN.entries, TERMINATED))
    assert list(invariants.volumes_lost(evidence)) == []


def test_downtime_runs_from_the_first_stop_to_the_switch() -> None:
    assert [down.seconds for down in invariants.downtimes(FORWARD_RUN)] == [20.0]


def test_downtime_of_a_rollback_ends_when_the_source_is_on_again() -> None:
    back = replace(KEPT_RUN, entries=(*CUTOVER, *BACK))
    assert [down.seconds for down in invariants.downtimes(back)] == [32.0]


def test_a_downtime_that_goes_on_has_no_length() -> None:
    assert [down.seconds for down in invariants.downtimes(replace(FORWARD_RUN, entries=CUTOVER))] == [None]


def test_each_accepted_message_has_one_migration() -> None:
    assert list(invariants.without_migration(["mig-1", "mig-2"], ["mig-2", "mig-1"])) == []
    assert len(list(invariants.without_migration(["mig-1", "mig-2"], ["mig-2", "mig-2"]))) == 2


def outcome_with(*entries: Entry) -> Outcome:
    names = Names("billing", "mig-billing", "billing.example.internal")
    return Outcome(Case(FORWARD), names, entries=entries)


def test_an_effect_too_many_or_too_few_is_a_difference() -> None:
    reference = outcome_with(start_cutover(1))
    assert list(compare(outcome_with(start_cutover(1)), reference)) == []
    assert len(list(compare(outcome_with(start_cutover(1), start_cutover(2)), reference))) == 1
    assert len(list(compare(outcome_with(entry(1, "mgn StartTest")), reference))) == 2


def test_a_call_that_says_how_a_thing_is_to_be_may_be_repeated_and_not_be_left_out() -> None:
    tag = entry(1, "mgn TagResource")
    assert list(compare(outcome_with(tag, tag), outcome_with(tag))) == []
    assert len(list(compare(outcome_with(start_cutover(1)), outcome_with(tag, start_cutover(1))))) == 1


def test_the_own_points_of_an_ending_begin_where_it_leaves_the_way_forward() -> None:
    def way(*calls: str) -> list[Point]:
        return [Point(service, operation, "server", 1) for service, operation in map(str.split, calls)]

    forward = way("mgn StartCutover", "callback deliver", "route53 Change", "mgn FinalizeCutover")
    back = way("callback deliver", "mgn StartCutover", "ec2 StopInstances", "mgn MarkAsArchived")
    assert since_parting(back, forward) == way("ec2 StopInstances", "mgn MarkAsArchived")
    assert since_parting(forward[:1], forward) == []
    assert AFTER_SWITCH.cutovers == 1


def test_points_of_one_run_are_far_from_each_other_and_none_is_left_out() -> None:
    found = [Point("mgn", f"Call{number}", "server", 1) for number in range(5)]
    cases = cases_of(FORWARD, found, ["refused"], together=2)
    assert [[found.index(point) for point in case.points] for case in cases] == [[0, 3], [1, 4], [2]]
