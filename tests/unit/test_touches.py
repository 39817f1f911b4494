"""What a plan lists: everything that each step would touch, and what a rollback would do about it."""

import json
from typing import Any

from activities.prerequisites import Prerequisites, RecordedName, SourceFacts
from migration.plan import Touch
from migration.ports import RecordSet
from migration.request import MigrationRequest
from tests.unit.test_activities_prerequisites import document
from workflows.touches import touches

WEB = SourceFacts(
    server="billing-web-01",
    vm="web",
    user_provided_id="vcenter-1:uuid-web",
    managed_instance_id="mi-1",
    powered_on=True,
    connected_macs=("00:50:56:00:00:01",),
)
OLD = RecordSet(ttl=300, values=("10.1.0.11",))


def planned(facts: SourceFacts = WEB, before: RecordSet | None = OLD, **changes: Any) -> tuple[Touch, ...]:
    whole = {"steps": [*STEPS], **changes}
    request = MigrationRequest.model_validate_json(json.dumps(document(**whole)))
    names = (RecordedName(index=0, before=before),)
    return touches(request, Prerequisites(findings=(), sources=(facts,), names=names))


STEPS = (
    *("validate", "prepare", "replicate", "test", "approve", "cutover"),
    *("verify", "switch", "soak", "finalize", "decommission"),
)


def lines(found: tuple[Touch, ...], step: str) -> list[tuple[str, str, str, str | None]]:
    return [(touch.system, touch.resource, touch.change, touch.undo) for touch in found if touch.step == step]


def test_claims_and_callbacks_come_first() -> None:
    assert lines(planned(), "validate") == [
        ("state table", "mig-billing", "the migrationId is claimed", "the claim is ended"),
        ("state table", "vcenter-1/web", "the server is claimed", "the claim is given back"),
        ("callbacks", "https://hooks.example.com/migrations", "hears of every change of status", None),
    ]


def test_the_agent_and_the_record_are_named_by_their_ids() -> None:
    agent, record, application, wave = lines(planned(waveId="wave-1"), "prepare")
    assert agent[:2] == ("Systems Manager", "billing-web-01 (mi-1)")
    assert record[:2] == ("MGN", "billing-web-01 (vcenter-1:uuid-web)")
    assert record[3] == "disconnected and archived, if all is undone"
    assert (application[1], wave[1]) == ("billing", "wave-1")


def test_a_record_that_is_not_ours_is_left_by_a_rollback_and_gets_no_agent() -> None:
    record, _ = lines(planned(WEB.model_copy(update={"registered_before": True})), "prepare")
    assert (record[0], record[3]) == ("MGN", None)


def test_test_instances_go_into_the_test_network_and_away_again() -> None:
    launch, mark = lines(planned(), "test")
    assert launch == (
        "EC2",
        "billing-web-01",
        "m5.large is launched into subnet-0d3c2b1a with sg-0d3c2b1a",
        "terminated, as at the end of the test",
    )
    assert mark[2:] == ("marked READY_FOR_CUTOVER", "READY_FOR_TEST, if all is undone")
    (mark,) = lines(planned(test={"mode": "skip", "reason": "tested last week"}), "test")
    assert mark[2] == "marked READY_FOR_CUTOVER"


def test_a_time_to_live_is_lowered_where_it_is_longer_and_put_back() -> None:
    (lowered,) = lines(planned(), "approve")
    assert lowered == ("route53", "billing.example.internal A", "time to live 300 s -> 60 s", "300 s, where still ours")
    assert lines(planned(before=RecordSet(ttl=60, values=("10.1.0.11",))), "approve") == []


def test_the_source_goes_off_is_snapshotted_and_its_instance_launched() -> None:
    off, snapshot, launch = lines(planned(), "cutover")
    assert off == (
        "vmware vcenter-1",
        "web",
        "shut down and taken off the network",
        "power and network cards as they were",
    )
    assert snapshot[2:] == ("a snapshot is taken", "removed")
    assert launch[2] == "m5.large is launched into subnet-0a1b2c3d with sg-0a1b2c3d"
    assert [line[2] for line in lines(planned(sourceSnapshot="none"), "cutover")][1] == launch[2]


def test_dns_says_old_and_new_and_what_a_rollback_puts_back() -> None:
    dns = lines(planned(), "switch")[1]
    assert dns[2:] == ("10.1.0.11 -> the address of billing-web-01's instance", "10.1.0.11, where still ours")
    new = lines(planned(before=None), "switch")[1]
    assert new[2:] == ("no record -> the address of billing-web-01's instance", "no record, where still ours")


def test_a_fixed_address_is_known_beforehand() -> None:
    (server,) = document()["source"]["servers"]
    source = {**document()["source"], "servers": [{**server, "launch": {"privateIp": "10.2.0.50"}}]}
    assert lines(planned(source=source), "switch")[1][2] == "10.1.0.11 -> 10.2.0.50"


def test_cmdb_items_are_named_with_what_is_written() -> None:
    assert lines(planned(), "switch")[2][:2] == ("servicenow", "ci-1 (billing-web-01)")
    assert lines(planned(), "decommission")[-1][2] == "the retirement is noted"
    assert all(touch.system != "servicenow" for touch in planned(cmdb={}))


def test_behind_the_point_of_no_return_nothing_is_undone() -> None:
    found = planned(sourceAfter="delete")
    after = [touch for touch in found if touch.step in ("finalize", "decommission")]
    assert after
    assert all(touch.undo is None for touch in after)
    machine = lines(found, "decommission")[1]
    assert machine[2] == "the snapshot is removed; deleted with its disks, after a second approval"


def test_a_source_that_is_kept_is_not_touched_at_the_end() -> None:
    assert [line[0] for line in lines(planned(sourceAfter="keep"), "decommission")] == ["MGN", "servicenow"]


def test_steps_that_are_not_planned_touch_nothing() -> None:
    assert {touch.step for touch in planned(migrationType="test")} == {"validate", "prepare", "test"}


def test_hooks_change_tickets_and_cmf_are_listed() -> None:
    hook = {"at": "beforeSwitch", "on": "target", "server": "billing-web-01", "type": "ssm", "ref": "Warm-Up"}
    found = planned(hooks=[hook], change={"number": "CHG0030001"}, cmf={"waveId": "7"})
    assert lines(found, "switch")[-1][:3] == (
        "ssm hook",
        "Warm-Up",
        "runs beforeSwitch on the target of billing-web-01",
    )
    assert lines(found, "approve")[-1][1] == "CHG0030001"
    assert lines(found, "prepare")[-1][:2] == ("Cloud Migration Factory", "7")
