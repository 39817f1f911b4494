"""Every switch of the local MGN in every position, and the page that lists them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from localcloud.aws.mgn import MgnSettings, Quotas
from localcloud.aws.mgn.switches import SOURCES, Switches, positions
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site

UNKNOWN_SERVER = "s-" + "0" * 17


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def code(call: Any, **parameters: Any) -> str:
    return str(refused(call, **parameters)["Error"]["Code"])


def accepted_or_code(call: Any, **parameters: Any) -> str:
    try:
        return code(call, **parameters)
    except AssertionError:
        return "accepted"


def terminate_in_testing(site: Site) -> object:
    server_id = site.in_state("TESTING")
    outcome = accepted_or_code(site.mgn.terminate_target_instances, sourceServerIDs=[server_id])
    reverted = bool(site.server(server_id)["lifeCycle"]["lastTest"]["reverted"])
    return outcome, site.state(server_id), reverted


def failed_launch(site: Site) -> object:
    server_id = site.ready()
    site.world.faults |= {"id-web-01 test": "no capacity"}
    site.launch("start_test", server_id)
    after_test = site.state(server_id)
    if after_test == "TESTING":
        site.change(server_id, "READY_FOR_TEST")
    site.change(server_id, "READY_FOR_CUTOVER")
    site.world.faults |= {"id-web-01 cutover": "no capacity"}
    site.launch("start_cutover", server_id)
    return after_test, site.state(server_id)


def archive_again(site: Site) -> object:
    server_id = site.in_state("DISCONNECTED")
    site.mgn.mark_as_archived(sourceServerID=server_id)
    return accepted_or_code(site.mgn.mark_as_archived, sourceServerID=server_id)


def disconnect_again(site: Site) -> object:
    gone, done = site.in_state("DISCONNECTED", "web-01"), site.in_state("CUTOVER", "web-02")
    outcomes = [accepted_or_code(site.mgn.disconnect_from_service, sourceServerID=each) for each in (gone, done)]
    return *outcomes, site.state(gone), site.state(done)


def retest(site: Site) -> object:
    return accepted_or_code(site.mgn.start_test, sourceServerIDs=[site.in_state("TESTING")])


def finalized_test(site: Site) -> object:
    server_id = site.in_state("TESTING")
    return bool(site.change(server_id, "READY_FOR_CUTOVER")["lifeCycle"]["lastTest"]["finalized"])


def replica_totals(site: Site) -> object:
    gone, done = site.in_state("DISCONNECTED", "web-01"), site.in_state("CUTOVER", "web-02")
    return {site.replication(each)["replicatedDisks"][0]["totalStorageBytes"] for each in (gone, done)}


def over_quota(site: Site) -> object:
    server_id = site.ready()
    site.configure(quotas=Quotas(concurrent_jobs=0, active_waves=0), over_quota=site.position)  # type: ignore[attr-defined]  # see below
    unmodelled = refused(site.mgn.start_test, sourceServerIDs=[server_id])
    return (
        unmodelled["ResponseMetadata"]["HTTPStatusCode"],
        unmodelled["resourceId"] == server_id,
        code(site.mgn.create_wave, name="wave-07"),
    )


def wrong_state(site: Site) -> object:
    server_id, busy = site.in_state("READY_FOR_TEST", "web-01"), site.in_state("READY_FOR_TEST", "web-02")
    site.mgn.start_test(sourceServerIDs=[busy])
    return (
        code(site.mgn.start_cutover, sourceServerIDs=[server_id]),
        code(site.mgn.finalize_cutover, sourceServerID=server_id),
        code(site.mgn.mark_as_archived, sourceServerID=server_id),
        code(site.mgn.start_test, sourceServerIDs=[busy]),
    )


def unknown_server(site: Site) -> object:
    return code(site.mgn.start_test, sourceServerIDs=[UNKNOWN_SERVER])


def terminated_instance(site: Site) -> object:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.launch("terminate_target_instances", server_id)
    shown = site.server(server_id).get("launchedInstance", {}).get("firstBoot")
    again = code(site.mgn.terminate_target_instances, sourceServerIDs=[server_id])
    job = site.launch("start_cutover", server_id)
    return shown, again, "CLEANUP_START" in site.log(job["jobID"])


def agent_again(site: Site) -> object:
    first = site.in_state("DISCONNECTED")
    second = site.register(ip="10.1.0.12")
    site.wait(SYNCED)
    addresses = site.server(second)["sourceProperties"]["networkInterfaces"][0]["ips"]
    template = site.mgn.get_launch_configuration(sourceServerID=second)["ec2LaunchTemplateID"]
    made = site.ec2.describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
    return first == second, site.state(first), site.state(second), addresses, len(made)


def agent_after_finalize(site: Site) -> object:
    server_id = site.in_state("CUTOVER")
    site.wait(3600)
    seen = site.server(server_id)["lifeCycle"]["lastSeenByServiceDateTime"]
    site.power("web-01", on=False)
    site.wait(60)
    return site.server(server_id)["lifeCycle"]["lastSeenByServiceDateTime"] == seen, seen[11:16]


def written_lag(site: Site) -> object:
    server_id = site.ready()
    none = site.replication(server_id)["lagDuration"]
    site.wait(0.25)
    site.power("web-01", on=False)
    site.wait(303.5)
    return none, site.replication(server_id)["lagDuration"]


def timestamps(site: Site) -> object:
    server = site.server(site.ready())
    job = site.launch("start_test", server["sourceServerID"])
    ends = {server["lifeCycle"]["addedToServiceDateTime"][19:], job["creationDateTime"][19:]}
    ends |= {item["logDateTime"][19:] for item in site.mgn.describe_job_log_items(jobID=job["jobID"])["items"]}
    return ends


def arn_in_tags(site: Site) -> object:
    server = site.server(site.ready(tags={"a": "b"}))
    job = site.launch("start_test", server["sourceServerID"])
    return [sorted(each["tags"]) for each in (server, job)]


BEHAVIOUR: dict[str, tuple[Callable[[Site], object], dict[str, object]]] = {
    "terminate_in_testing": (
        terminate_in_testing,
        {"refuse": ("ConflictException", "TESTING", False), "revert": ("accepted", "READY_FOR_TEST", True)},
    ),
    "failed_launch": (
        failed_launch,
        {"stays": ("TESTING", "CUTTING_OVER"), "reverts": ("READY_FOR_TEST", "READY_FOR_CUTOVER")},
    ),
    "archive_again": (archive_again, {"accept": "accepted", "refuse": "ConflictException"}),
    "disconnect_again": (
        disconnect_again,
        {
            "refuse": ("ConflictException", "ConflictException", "DISCONNECTED", "CUTOVER"),
            "accept": ("accepted", "accepted", "DISCONNECTED", "CUTOVER"),
        },
    ),
    "retest": (retest, {"accept": "accepted", "refuse": "ConflictException"}),
    "test_finalized": (finalized_test, {"stamped": True, "empty": False}),
    "replica_totals": (replica_totals, {"zeroed": {0}, "kept": {8 * GIB}}),
    "over_quota": (
        over_quota,
        {
            "asModelled": (409, True, "ServiceQuotaExceededException"),
            "always402": (402, True, "ServiceQuotaExceededException"),
        },
    ),
    "wrong_state": (
        wrong_state,
        {
            "conflict": ("ConflictException",) * 4,
            "validation": ("ValidationException", "ValidationException", "ConflictException", "ConflictException"),
        },
    ),
    "unknown_server": (
        unknown_server,
        {"validation": "ValidationException", "notFound": "ResourceNotFoundException"},
    ),
    "terminated_instance": (
        terminated_instance,
        {"cleared": (None, "ConflictException", False), "kept": ("UNKNOWN", "ConflictException", False)},
    ),
    "agent_again": (
        agent_again,
        {
            "newRecord": (False, "DISCONNECTED", "READY_FOR_TEST", ["10.1.0.12"], 1),
            "revive": (True, "READY_FOR_TEST", "READY_FOR_TEST", ["10.1.0.12"], 1),
        },
    ),
    "agent_after_finalize": (
        agent_after_finalize,
        {"uninstalled": (True, "08:32"), "stays": (True, "09:32")},
    ),
    "lag_format": (
        written_lag,
        {
            "short": ("P0D", "PT5M3S"),
            "padded": ("P0DT00H00M00S", "P0DT00H05M03S"),
            "fractional": ("P0D", "PT5M3.500000S"),
        },
    ),
    "timestamps": (timestamps, {"offset": {".000000+00:00"}, "zulu": {".000000Z"}}),
    "arn_in_tags": (
        arn_in_tags,
        {"absent": [["a"], []], "present": [["a", "resourceArn"], ["resourceArn"]]},
    ),
}
ELSEWHERE = {
    "source_off": "test_mgn_backend_replication.py",
    "must_succeed": "test_mgn_backend_actions.py",
    "post_launch": "test_mgn_backend_actions.py",
}


@pytest.mark.parametrize(
    ("switch", "position"),
    [(switch, position) for switch, (_, expected) in BEHAVIOUR.items() for position in expected],
)
def test_a_switch_does_what_its_position_says(site: Site, switch: str, position: str) -> None:
    observe, expected = BEHAVIOUR[switch]
    site.position = position  # type: ignore[attr-defined]  # for what changes other settings too
    site.configure(**{switch: position})
    assert observe(site) == expected[position]


def test_every_switch_is_tried_in_every_position() -> None:
    for switch in fields(Switches):
        known = set(positions(switch))
        assert known == set(get_args(get_type_hints(Switches)[switch.name]))
        if switch.name in BEHAVIOUR:
            assert set(BEHAVIOUR[switch.name][1]) == known
        else:
            text = Path(__file__).with_name(ELSEWHERE[switch.name]).read_text(encoding="utf-8")
            assert all(f'"{position}"' in text for position in list(known - {switch.default}))


def test_every_position_names_its_sources() -> None:
    for switch in fields(Switches):
        for meaning in positions(switch).values():
            tags = [tag for found in re.findall(r"\[([A-Z, ]+)\]", meaning) for tag in found.split(", ")]
            assert tags, (switch.name, meaning)
            assert set(tags) <= set(SOURCES)


def test_a_position_that_does_not_exist_is_refused() -> None:
    wrong: Any = {"lag_format": "long"}
    with pytest.raises(ValueError, match="lag_format must be one of short, padded, fractional"):
        MgnSettings(**wrong)
