"""MGN's applications and waves."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.aws.mgn import Quotas
from tests.contracts.mgn_site import Site, moto_server, refused, running_site


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def application(site: Site, name: str = "billing") -> str:
    return str(site.mgn.create_application(name=name)["applicationID"])


def wave(site: Site, name: str = "wave-07") -> str:
    return str(site.mgn.create_wave(name=name)["waveID"])


def status(site: Site, application_id: str) -> Any:
    found = site.mgn.list_applications(filters={"applicationIDs": [application_id]})["items"]
    return found[0]["applicationAggregatedStatus"]


def test_an_application_groups_servers_and_a_wave_groups_applications(site: Site) -> None:
    server_id, app_id, wave_id = site.register(), application(site), wave(site)

    site.mgn.associate_source_servers(applicationID=app_id, sourceServerIDs=[server_id])
    site.mgn.associate_applications(waveID=wave_id, applicationIDs=[app_id])

    assert site.server(server_id)["applicationID"] == app_id
    found = site.mgn.describe_source_servers(filters={"applicationIDs": [app_id]})["items"]
    assert [each["sourceServerID"] for each in found] == [server_id]
    listed = site.mgn.list_applications(filters={"waveIDs": [wave_id]})["items"]
    assert [(each["applicationID"], each["waveID"]) for each in listed] == [(app_id, wave_id)]
    assert listed[0]["applicationAggregatedStatus"]["totalSourceServers"] == 1
    aggregated = site.mgn.list_waves()["items"][0]["waveAggregatedStatus"]
    assert aggregated["totalApplications"] == 1
    assert aggregated["replicationStartedDateTime"] == "2027-01-15T08:00:00.000000+00:00"

    site.mgn.disassociate_source_servers(applicationID=app_id, sourceServerIDs=[server_id])
    site.mgn.disassociate_applications(waveID=wave_id, applicationIDs=[app_id])
    assert "applicationID" not in site.server(server_id)
    assert "waveID" not in site.mgn.list_applications()["items"][0]


def test_what_is_created_is_answered_and_can_be_changed(site: Site) -> None:
    made = site.mgn.create_application(name="billing", description="invoices", tags={"a": "b"})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["arn"] == f"arn:aws:mgn:eu-central-1:{site.account}:application/{made['applicationID']}"
    assert (made["name"], made["description"], made["isArchived"], made["tags"]) == (
        "billing",
        "invoices",
        False,
        {"a": "b"},
    )
    site.wait(60)
    changed = site.mgn.update_application(applicationID=made["applicationID"], name="invoicing")
    assert (changed["name"], changed["description"]) == ("invoicing", "invoices")
    assert changed["lastModifiedDateTime"] > changed["creationDateTime"]

    wave_id = wave(site)
    assert site.mgn.update_wave(waveID=wave_id, description="first")["description"] == "first"


def test_names_are_unique_for_each_kind(site: Site) -> None:
    app_id = application(site, "billing")
    wave(site, "billing")
    error = refused(site.mgn.create_application, name="billing")
    assert error["Error"]["Code"] == "ConflictException"
    assert (error["resourceType"], error["resourceId"]) == ("Application", app_id)
    other = application(site, "shop")
    error = refused(site.mgn.update_application, applicationID=other, name="billing")
    assert error["Error"]["Code"] == "ConflictException"


def test_a_server_is_in_one_application_and_an_application_in_one_wave(site: Site) -> None:
    server_id, one, other = site.register(), application(site, "billing"), application(site, "shop")
    associate = site.mgn.associate_source_servers
    associate(applicationID=one, sourceServerIDs=[server_id])
    associate(applicationID=one, sourceServerIDs=[server_id])
    error = refused(associate, applicationID=other, sourceServerIDs=[server_id])
    assert (error["Error"]["Code"], error["resourceId"]) == ("ConflictException", server_id)

    first, second = wave(site, "wave-1"), wave(site, "wave-2")
    site.mgn.associate_applications(waveID=first, applicationIDs=[one])
    error = refused(site.mgn.associate_applications, waveID=second, applicationIDs=[one])
    assert (error["Error"]["Code"], error["resourceId"]) == ("ConflictException", one)


def test_what_has_active_members_is_neither_archived_nor_deleted(site: Site) -> None:
    server_id, app_id, wave_id = site.ready(), application(site), wave(site)
    site.mgn.associate_source_servers(applicationID=app_id, sourceServerIDs=[server_id])
    site.mgn.associate_applications(waveID=wave_id, applicationIDs=[app_id])
    for call, parameters in (
        (site.mgn.archive_application, {"applicationID": app_id}),
        (site.mgn.delete_application, {"applicationID": app_id}),
        (site.mgn.archive_wave, {"waveID": wave_id}),
        (site.mgn.delete_wave, {"waveID": wave_id}),
    ):
        assert refused(call, **parameters)["Error"]["Code"] == "ConflictException"

    site.mgn.disconnect_from_service(sourceServerID=server_id)
    site.mgn.mark_as_archived(sourceServerID=server_id)
    assert site.mgn.archive_application(applicationID=app_id)["isArchived"] is True
    assert site.mgn.archive_wave(waveID=wave_id)["isArchived"] is True
    assert site.mgn.list_waves(filters={"isArchived": False})["items"] == []
    assert len(site.mgn.list_applications(filters={"isArchived": True})["items"]) == 1
    assert site.mgn.unarchive_wave(waveID=wave_id)["isArchived"] is False
    assert site.mgn.unarchive_application(applicationID=app_id)["isArchived"] is False
    site.mgn.delete_application(applicationID=app_id)
    site.mgn.delete_wave(waveID=wave_id)
    assert site.mgn.list_applications()["items"] == site.mgn.list_waves()["items"] == []
    assert "applicationID" not in site.server(server_id)


def test_what_is_archived_takes_no_members_and_no_changes(site: Site) -> None:
    server_id, app_id, wave_id = site.register(), application(site), wave(site)
    other = application(site, "shop")
    site.mgn.archive_application(applicationID=app_id)
    site.mgn.archive_wave(waveID=wave_id)
    for call, parameters in (
        (site.mgn.associate_source_servers, {"applicationID": app_id, "sourceServerIDs": [server_id]}),
        (site.mgn.update_application, {"applicationID": app_id, "description": "x"}),
        (site.mgn.associate_applications, {"waveID": wave_id, "applicationIDs": [other]}),
        (site.mgn.update_wave, {"waveID": wave_id, "name": "x"}),
    ):
        assert refused(call, **parameters)["Error"]["Code"] == "ConflictException"


def test_unknown_groups_and_members_are_not_found(site: Site) -> None:
    app_id, wave_id, none = application(site), wave(site), "0" * 17
    for call, parameters in (
        (site.mgn.update_application, {"applicationID": f"app-{none}"}),
        (site.mgn.delete_wave, {"waveID": f"wave-{none}"}),
        (site.mgn.associate_source_servers, {"applicationID": app_id, "sourceServerIDs": [f"s-{none}"]}),
        (site.mgn.associate_applications, {"waveID": wave_id, "applicationIDs": [f"app-{none}"]}),
    ):
        error = refused(call, **parameters)
        assert error["Error"]["Code"] == "ResourceNotFoundException"
        assert error["resourceId"].endswith(none)


def test_an_applications_status_sums_up_its_servers(site: Site) -> None:
    app_id = application(site)
    server_id = site.ready()
    site.mgn.associate_source_servers(applicationID=app_id, sourceServerIDs=[server_id])
    assert (status(site, app_id)["healthStatus"], status(site, app_id)["progressStatus"]) == ("HEALTHY", "NOT_STARTED")

    site.launch("start_test", server_id)
    site.power("web-01", on=False)
    site.wait(60)
    assert (status(site, app_id)["healthStatus"], status(site, app_id)["progressStatus"]) == ("LAGGING", "IN_PROGRESS")
    site.wait(900)
    assert status(site, app_id)["healthStatus"] == "ERROR"
    site.change(server_id, "READY_FOR_CUTOVER")
    site.launch("start_cutover", server_id)
    site.mgn.finalize_cutover(sourceServerID=server_id)
    assert (status(site, app_id)["healthStatus"], status(site, app_id)["progressStatus"]) == ("HEALTHY", "COMPLETED")


@pytest.mark.parametrize(
    ("quotas", "code"),
    [
        (Quotas(active_applications=1), "L-D5507441"),
        (Quotas(servers_in_an_application=1), "L-90A3F9F5"),
        (Quotas(active_waves=1), "L-9FD6E875"),
        (Quotas(applications_in_a_wave=0), "L-CBE9E36A"),
    ],
)
def test_groups_stay_within_their_quotas(site: Site, quotas: Quotas, code: str) -> None:
    servers = [site.register(f"web-{number}") for number in range(2)]
    site.configure(quotas=quotas)
    app_id, wave_id = application(site), wave(site)
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "L-D5507441": (site.mgn.create_application, {"name": "shop"}),
        "L-90A3F9F5": (site.mgn.associate_source_servers, {"applicationID": app_id, "sourceServerIDs": servers}),
        "L-9FD6E875": (site.mgn.create_wave, {"name": "wave-08"}),
        "L-CBE9E36A": (site.mgn.associate_applications, {"waveID": wave_id, "applicationIDs": [app_id]}),
    }
    call, parameters = calls[code]

    error = refused(call, **parameters)

    assert (error["Error"]["Code"], error["quotaCode"]) == ("ServiceQuotaExceededException", code)
