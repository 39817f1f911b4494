"""Replication by the clock: how it begins, what lag says, and what becomes of it when the source is off."""

from collections.abc import Iterator

import pytest

from localcloud.aws.mgn import Quotas
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site

STALLED_AFTER = 900
RESCANNED = 120


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def test_a_copy_comes_to_be_in_the_order_of_the_service(site: Site) -> None:
    server_id = site.register()
    seen: list[str] = []
    for _ in range(32):
        copy = site.replication(server_id)
        if not seen or seen[-1] != copy["dataReplicationState"]:
            seen.append(copy["dataReplicationState"])
        assert ("lagDuration" in copy) is (copy["dataReplicationState"] == "CONTINUOUS")
        site.wait(30)

    assert seen == ["INITIATING", "INITIAL_SYNC", "BACKLOG", "CREATING_SNAPSHOT", "CONTINUOUS"]
    assert site.replication(server_id)["lagDuration"] == "P0D"
    assert site.state(server_id) == "READY_FOR_TEST"


def test_initiation_goes_step_by_step(site: Site) -> None:
    server_id = site.register()
    site.wait(40)

    steps = site.replication(server_id)["dataReplicationInitiation"]["steps"]

    assert len(steps) == 11
    assert [step["status"] for step in steps[:4]] == ["SUCCEEDED", "SUCCEEDED", "IN_PROGRESS", "NOT_STARTED"]
    assert (steps[0]["name"], steps[10]["name"]) == ("WAIT", "START_DATA_TRANSFER")


def test_the_initial_sync_shows_bytes_and_an_end(site: Site) -> None:
    server_id = site.register()
    site.wait(165 + 300)

    copy = site.replication(server_id)

    assert copy["replicatedDisks"][0]["replicatedStorageBytes"] == 4 * GIB
    assert copy["etaDateTime"] == "2027-01-15T08:15:00.000000+00:00"
    assert site.server(server_id)["lifeCycle"]["firstByteDateTime"] == "2027-01-15T08:02:45.000000+00:00"


def test_a_larger_disk_takes_longer(site: Site) -> None:
    server_id = site.register(disks=[("/dev/sda", 8 * GIB), ("/dev/sdb", 8 * GIB)])
    site.wait(SYNCED)
    assert site.replication(server_id)["dataReplicationState"] == "INITIAL_SYNC"
    site.wait(8 * 75)
    assert site.replication(server_id)["dataReplicationState"] == "CONTINUOUS"


def test_the_factor_speeds_everything_up(site: Site) -> None:
    site.configure(factor=900)
    server_id = site.register()
    site.wait(0.9)
    assert site.state(server_id) == "NOT_READY"
    site.wait(0.2)
    assert site.state(server_id) == "READY_FOR_TEST"
    site.power("web-01", on=False)
    site.wait(0.5)
    assert site.replication(server_id)["lagDuration"] == "PT7M30S"


def test_lag_grows_from_the_moment_the_source_is_off(site: Site) -> None:
    server_id = site.ready()
    site.power("web-01", on=False)
    site.wait(303)

    copy = site.replication(server_id)

    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("CONTINUOUS", "PT5M3S")
    assert "dataReplicationError" not in copy


def test_a_source_that_stays_off_stalls_and_can_still_be_launched(site: Site) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.power("web-01", on=False)
    site.wait(STALLED_AFTER)

    copy = site.replication(server_id)

    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("STALLED", "PT15M")
    assert copy["dataReplicationError"] == {"error": "AGENT_NOT_SEEN"}
    job = site.launch("start_cutover", server_id)
    assert job["participatingServers"][0]["launchStatus"] == "LAUNCHED"


@pytest.mark.parametrize(("source_off", "state"), [("disconnected", "DISCONNECTED"), ("lagNull", "STALLED")])
def test_by_setting_a_source_that_stays_off_cannot_be_launched(site: Site, source_off: str, state: str) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.configure(source_off=source_off)
    site.power("web-01", on=False)
    site.wait(STALLED_AFTER - 1)
    assert "lagDuration" in site.replication(server_id)
    site.wait(1)

    copy = site.replication(server_id)

    assert copy["dataReplicationState"] == state
    assert "lagDuration" not in copy
    assert refused(site.mgn.start_cutover, sourceServerIDs=[server_id])["Error"]["Code"] == "ConflictException"
    error = refused(
        site.mgn.change_server_life_cycle_state, sourceServerID=server_id, lifeCycle={"state": "READY_FOR_TEST"}
    )
    assert error["Error"]["Code"] == "ConflictException"


def test_a_source_that_comes_back_is_rescanned_and_catches_up(site: Site) -> None:
    server_id = site.ready()
    site.power("web-01", on=False)
    site.wait(2 * STALLED_AFTER)
    site.power("web-01", on=True)
    site.wait(RESCANNED / 2)

    copy = site.replication(server_id)
    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("RESCAN", "PT31M")
    assert copy["replicatedDisks"][0]["rescannedStorageBytes"] == 4 * GIB
    site.wait(RESCANNED / 2)
    copy = site.replication(server_id)
    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("CONTINUOUS", "P0D")


def test_a_source_that_is_off_during_the_initial_sync_goes_on_where_it_was(site: Site) -> None:
    server_id = site.register()
    site.wait(465)
    site.power("web-01", on=False)
    site.wait(STALLED_AFTER)
    copy = site.replication(server_id)
    assert copy["dataReplicationState"] == "STALLED"
    assert "lagDuration" not in copy
    site.power("web-01", on=True)
    site.wait(SYNCED - 466)
    assert site.replication(server_id)["dataReplicationState"] == "CREATING_SNAPSHOT"
    site.wait(1)
    assert site.state(server_id) == "READY_FOR_TEST"


def test_retry_is_for_stalled_replications_and_begins_with_the_initiation(site: Site) -> None:
    server_id = site.ready()
    error = refused(site.mgn.retry_data_replication, sourceServerID=server_id)
    assert (error["Error"]["Code"], error["reason"]) == ("ValidationException", "other")
    site.power("web-01", on=False)
    site.wait(STALLED_AFTER)

    answer = site.mgn.retry_data_replication(sourceServerID=server_id)

    assert answer["dataReplicationInfo"]["dataReplicationState"] == "INITIATING"
    assert answer["lifeCycle"]["lastSeenByServiceDateTime"] == "2027-01-15T08:15:00.000000+00:00"
    site.power("web-01", on=True)
    site.wait(165 + RESCANNED)
    assert site.replication(server_id)["lagDuration"] == "P0D"


def test_a_paused_replication_falls_behind_and_is_rescanned_when_resumed(site: Site) -> None:
    server_id = site.ready()
    site.mgn.pause_replication(sourceServerID=server_id)
    site.wait(3600)
    copy = site.replication(server_id)
    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("PAUSED", "PT1H")
    assert refused(site.mgn.pause_replication, sourceServerID=server_id)["Error"]["Code"] == "ConflictException"

    answer = site.mgn.resume_replication(sourceServerID=server_id)

    assert answer["dataReplicationInfo"]["dataReplicationState"] == "RESCAN"
    site.wait(RESCANNED)
    assert site.replication(server_id)["lagDuration"] == "P0D"


def test_a_replication_started_again_copies_everything_again(site: Site) -> None:
    server_id = site.in_state("STOPPED")
    assert "lagDuration" not in site.replication(server_id)

    site.mgn.start_replication(sourceServerID=server_id)

    assert site.state(server_id) == "NOT_READY"
    site.wait(SYNCED)
    assert site.state(server_id) == "READY_FOR_TEST"


def test_a_replication_started_while_the_source_is_off_has_its_time_before_it_stalls(site: Site) -> None:
    server_id = site.in_state("STOPPED")
    site.power("web-01", on=False)
    site.wait(2 * STALLED_AFTER)
    site.mgn.start_replication(sourceServerID=server_id)
    assert site.replication(server_id)["dataReplicationState"] == "INITIATING"
    site.wait(STALLED_AFTER)
    assert site.replication(server_id)["dataReplicationState"] == "STALLED"


def test_an_agent_without_replication_waits_for_its_start(site: Site) -> None:
    server_id = site.register(no_replication=True)
    site.wait(SYNCED)
    assert site.state(server_id) == "STOPPED"
    assert site.replication(server_id)["dataReplicationState"] == "STOPPED"
    assert "elapsedReplicationDuration" not in site.server(server_id)["lifeCycle"]


def test_a_staging_subnet_that_does_not_exist_stalls_the_replication_until_it_is_put_right(site: Site) -> None:
    subnet, _ = site.network()
    server_id = site.register()
    update = site.mgn.update_replication_configuration
    update(sourceServerID=server_id, stagingAreaSubnetId="subnet-00000000000000000")
    site.wait(SYNCED)

    copy = site.replication(server_id)

    assert copy["dataReplicationState"] == "STALLED"
    assert copy["dataReplicationError"] == {"error": "FAILED_TO_LAUNCH_REPLICATION_SERVER"}
    assert "nextAttemptDateTime" in copy["dataReplicationInitiation"]
    update(sourceServerID=server_id, stagingAreaSubnetId=subnet)
    site.wait(SYNCED)
    assert site.state(server_id) == "READY_FOR_TEST"


def test_another_key_means_another_initial_sync(site: Site) -> None:
    server_id = site.ready()
    update = site.mgn.update_replication_configuration
    error = refused(update, sourceServerID=server_id, ebsEncryption="CUSTOM")
    assert [field["name"] for field in error["fieldList"]] == ["ebsEncryptionKeyArn"]

    key = f"arn:aws:kms:eu-central-1:{site.account}:key/1"
    update(sourceServerID=server_id, ebsEncryption="CUSTOM", ebsEncryptionKeyArn=key)

    assert "lagDuration" not in site.replication(server_id)
    assert site.mgn.get_replication_configuration(sourceServerID=server_id)["ebsEncryptionKeyArn"] == key
    site.wait(SYNCED)
    assert site.replication(server_id)["lagDuration"] == "P0D"


def test_replicating_servers_stay_within_the_quota(site: Site) -> None:
    stopped = site.in_state("STOPPED", "web-01")
    site.configure(quotas=Quotas(replicating_servers=1))
    site.register("web-02")

    error = refused(site.mgn.start_replication, sourceServerID=stopped)

    assert (error["Error"]["Code"], error["quotaCode"]) == ("ServiceQuotaExceededException", "L-9A599620")
    assert error["quotaValue"] == 1


def test_what_was_seen_last_and_how_long_it_went_on_is_told(site: Site) -> None:
    server_id = site.ready()
    site.wait(0.25)
    site.power("web-01", on=False)
    site.wait(60)

    life_cycle = site.server(server_id)["lifeCycle"]

    assert life_cycle["lastSeenByServiceDateTime"] == "2027-01-15T08:15:00.250000+00:00"
    assert life_cycle["elapsedReplicationDuration"] == "PT16M0.250000S"
