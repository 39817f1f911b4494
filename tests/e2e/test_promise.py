"""The promise, after everything that the other end-to-end tests did to the applications."""

import asyncio
import json
import signal
import sys

import psutil

from migration.status import Phase
from tests.e2e import test_outages as outages
from tests.e2e.local_cloud import LocalCloud, until

GONE_WITHIN = 20.0
STOPS_WITHIN = 15.0


async def test_a_request_for_what_is_not_offered_yet_touches_nothing(cloud: LocalCloud) -> None:
    netbox = {"cmdb": {"system": "netbox", "connection": "netbox-1"}}
    file = cloud.written(cloud.request("forum", migrationId="mig-forum-netbox") | netbox)
    assert (await cloud.migrator("start", file)).code == 0
    status = await cloud.reaches("mig-forum-netbox", Phase.FAILED)
    assert status.failure is not None
    assert status.failure.type == "PrerequisiteError"
    assert "NetBox" in status.failure.message
    servers = {"forum-web-01", "forum-web-02"}
    calls = await asyncio.gather(*(cloud.ledger(service) for service in ("mgn", "ssm", "vcenter", "servicenow")))
    assert [entry for entries in calls for entry in entries if servers & set(entry["targets"])] == []


async def test_no_write_is_lost_and_no_two_sides_ever_serve(quiet_cloud: LocalCloud) -> None:
    for name in quiet_cloud.local["dns_names"]:
        account = await quiet_cloud.application(name)
        assert account["overlaps"] == [], name
        assert [server["lostWrites"] for server in account["servers"]] == [0, 0], name
        assert {server["servedBy"] for server in account["servers"]} in ({"source"}, {"target"}), name
        for server in account["servers"]:
            assert sum(side["serving"] for side in server["sides"]) == 1, name


async def test_no_message_is_left_in_the_queue(quiet_cloud: LocalCloud) -> None:
    assert await quiet_cloud.request_queue_is_empty()


async def test_every_refused_message_was_refused_for_the_same_reasons_however_often_it_came(
    quiet_cloud: LocalCloud,
) -> None:
    letters = await quiet_cloud.dead_letters()
    assert letters
    assert {
        message_id: found for message_id, found in letters.items() if len({one.reasons for one in found}) != 1
    } == {}


async def test_the_log_is_json_without_an_error_and_names_the_migration(quiet_cloud: LocalCloud) -> None:
    logs = {name: quiet_cloud.state_dir / "logs" / f"{name}.log" for name in ("worker", "ingress")}
    lines = {name: [json.loads(line) for line in log.read_text().splitlines()] for name, log in logs.items()}
    told = [line for each in lines.values() for line in each]
    assert [line for line in told if not {"timestamp", "level", "event"} <= line.keys()] == []
    assert [line for line in told if line["level"] not in ("info", "warning")] == []
    taken = [line for line in lines["ingress"] if line["event"] == "request taken"]
    assert {(line["migration_id"], line["correlation_id"]) for line in taken} <= {
        ("mig-billing", "mig-billing"),
        (outages.MIGRATION, outages.TRACE),
    }
    launched = [line for line in lines["worker"] if line.get("activity") == "start_cutover"]
    identity = {"migration_id", "correlation_id", "step", "attempt", "mark"}
    assert [line for line in launched if not identity <= line.keys()] == []


async def test_an_ingress_stops_after_its_last_poll_when_it_is_told_to(quiet_cloud: LocalCloud) -> None:
    log = quiet_cloud.state_dir / "logs" / "another-ingress.log"
    ingress = quiet_cloud.spawn([sys.executable, "-m", "starter.cli", "ingress"], {}, log)

    async def started() -> bool:
        return "ingress started" in log.read_text()

    await until("the ingress takes messages", started, within=30)
    ingress.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(ingress.wait, STOPS_WITHIN) == 0


def test_a_sigterm_stops_the_whole_cloud_and_leaves_no_process(cloud_to_stop: LocalCloud) -> None:
    supervisor = psutil.Process(cloud_to_stop.process.pid)
    family = [supervisor, *supervisor.children(recursive=True)]
    assert {process.name() for process in family} >= {"temporal", "vcenter"}
    cloud_to_stop.stop()
    assert cloud_to_stop.process.returncode == 0
    assert psutil.wait_procs(family, timeout=GONE_WITHIN)[1] == []
