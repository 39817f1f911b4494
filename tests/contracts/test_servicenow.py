"""The ServiceNow adapter against the stand-in, and the stand-in's strictness."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from adapters.servicenow import ServiceNow
from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger
from localcloud.servicenow import ServiceNow as Instance
from localcloud.servicenow import ci_sys_id
from localcloud.world import build_world
from migration.errors import Conflict, NotFound, Unavailable
from migration.settings import Connection

USER, PASSWORD = "migrator", "correct horse"
MACHINE = build_world(16).machines[0]
ITEM = ci_sys_id(MACHINE.name)
MOVE = {"ip_address": "127.16.1.10", "correlation_id": "mig-billing-1/1/switch/1"}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def faults() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def instance(ledger: Ledger, faults: FaultPlan) -> Iterator[Instance]:
    instance = Instance(ledger, faults, username=USER, password=PASSWORD)
    instance.seed_servers(build_world(16).machines)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def cmdb(instance: Instance) -> Iterator[ServiceNow]:
    cmdb = connect(instance.url)
    yield cmdb
    cmdb.close()


def connect(url: str, password: str = PASSWORD) -> ServiceNow:
    return ServiceNow(Connection(url=url, username=USER, password=SecretStr(password)))


def call(instance: Instance, method: str, path: str, **more: Any) -> httpx.Response:
    arguments: dict[str, Any] = {"auth": (USER, PASSWORD), "trust_env": False} | more
    return httpx.request(method, f"{instance.url}/api/now/table/{path}", **arguments)


def updates(ledger: Ledger) -> int:
    return len(ledger.entries(service="servicenow", operation="update", target=ITEM))


# --- the adapter -------------------------------------------------------------------------------------------------


def test_an_item_is_read_with_its_fields(cmdb: ServiceNow) -> None:
    item = cmdb.read(ITEM)
    assert item.id == ITEM
    assert item.fields["name"] == MACHINE.name
    assert item.fields["ip_address"] == MACHINE.address
    assert item.fields["install_status"] == "1"


def test_an_unknown_item_is_not_found(cmdb: ServiceNow) -> None:
    for unknown in ("5f0c8a1e", "with/slash?and=query", "../cmdb_rel_ci"):
        with pytest.raises(NotFound, match="No Record found"):
            cmdb.read(unknown)


def test_any_string_is_an_id(instance: Instance, cmdb: ServiceNow) -> None:
    instance.seed("cmdb_ci_server", "5f0c8a1e", {"name": "old"})
    assert cmdb.read("5f0c8a1e").fields["name"] == "old"


def test_a_move_is_written_once_and_put_back(cmdb: ServiceNow, ledger: Ledger) -> None:
    before = cmdb.read(ITEM)
    moved = cmdb.update(ITEM, MOVE)
    assert {name: moved.fields[name] for name in MOVE} == MOVE
    assert moved.fields["sys_mod_count"] == "1"
    assert cmdb.update(ITEM, MOVE) == moved
    assert updates(ledger) == 1
    back = cmdb.update(ITEM, {name: before.fields[name] for name in MOVE})
    assert {name: back.fields[name] for name in MOVE} == {"ip_address": MACHINE.address, "correlation_id": ""}
    assert updates(ledger) == 2


def test_what_is_so_already_is_not_even_sent(cmdb: ServiceNow, faults: FaultPlan) -> None:
    moved = cmdb.update(ITEM, MOVE)
    faults.add(Rule("servicenow", "update", "refuse"))
    assert cmdb.update(ITEM, MOVE) == moved


def test_only_fields_that_differ_are_written(cmdb: ServiceNow, ledger: Ledger) -> None:
    cmdb.update(ITEM, {"name": MACHINE.name, "comments": "moved"})
    (entry,) = ledger.entries(service="servicenow", operation="update")
    assert entry.detail == {"table": "cmdb_ci_server", "fields": {"comments": "moved"}}
    assert entry.targets == (ITEM, MACHINE.name)
    assert entry.caller == USER


def test_items_are_found_by_their_correlation_id(cmdb: ServiceNow) -> None:
    assert cmdb.find(MOVE["correlation_id"]) == ()
    cmdb.update(ITEM, MOVE)
    assert [item.id for item in cmdb.find(MOVE["correlation_id"])] == [ITEM]


def test_a_value_cannot_widen_a_query(cmdb: ServiceNow) -> None:
    with pytest.raises(Conflict, match="ends a condition"):
        cmdb.find("x^ORname=billing-web-01")


def test_a_relation_is_made_once(cmdb: ServiceNow, ledger: Ledger) -> None:
    first = cmdb.relate(parent=ITEM, child="5f0c8a1e", relation_type="runs-on")
    assert cmdb.relate(parent=ITEM, child="5f0c8a1e", relation_type="runs-on") == first
    assert cmdb.relate(parent=ITEM, child="other", relation_type="runs-on") != first
    assert len(ledger.entries(service="servicenow", operation="create")) == 2


def test_a_wrong_password_is_not_retried_and_says_what_to_check(instance: Instance) -> None:
    cmdb = connect(instance.url, password="wrong")
    with pytest.raises(Conflict, match="401: User Not Authenticated") as caught:
        cmdb.read(ITEM)
    cmdb.close()
    assert caught.value.action == "Check the account of this connection and its roles"
    assert "wrong" not in str(caught.value)


def test_a_field_that_the_instance_refuses_is_a_conflict_in_its_words(cmdb: ServiceNow, ledger: Ledger) -> None:
    with pytest.raises(Conflict, match="cmdb_ci_server has no field colour"):
        cmdb.update(ITEM, {"colour": "blue"})
    assert updates(ledger) == 0


@pytest.mark.parametrize(("status", "wait"), [(429, timedelta(seconds=1)), (503, None), (500, None)])
def test_a_busy_or_failing_instance_is_worth_a_retry(
    cmdb: ServiceNow, faults: FaultPlan, ledger: Ledger, status: int, wait: timedelta | None
) -> None:
    faults.add(Rule("servicenow", "update", "refuse", target=MACHINE.name, times=1, status=status, message="busy"))
    with pytest.raises(Unavailable, match=f"{status}: busy") as caught:
        cmdb.update(ITEM, MOVE)
    assert caught.value.retry_after == wait
    assert updates(ledger) == 0
    cmdb.update(ITEM, MOVE)
    assert updates(ledger) == 1


def test_forbidden_is_not_retried(cmdb: ServiceNow, faults: FaultPlan) -> None:
    faults.add(Rule("servicenow", "read", "refuse", status=403, message="ACL"))
    with pytest.raises(Conflict, match="403: ACL"):
        cmdb.read(ITEM)


def test_a_lost_reply_is_worth_a_retry_that_finds_the_write_done(
    cmdb: ServiceNow, faults: FaultPlan, ledger: Ledger
) -> None:
    faults.add(Rule("servicenow", "update", "replyLost", target=ITEM, times=1))
    with pytest.raises(Unavailable, match="closed without a whole answer"):
        cmdb.update(ITEM, MOVE)
    assert cmdb.update(ITEM, MOVE).fields["ip_address"] == MOVE["ip_address"]
    assert updates(ledger) == 1


def test_nobody_there_is_worth_a_retry() -> None:
    cmdb = connect("http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="connection refused"):
        cmdb.read(ITEM)
    cmdb.close()


@pytest.mark.parametrize(
    "page",
    [
        Reply(200, b"<html>Your instance is hibernating</html>", {"Content-Type": "text/html"}),
        Reply(200, b"[]", {"Content-Type": "application/json"}),
        Reply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}),
    ],
)
def test_a_page_for_people_is_no_item(page: Reply) -> None:
    server = HttpServer(lambda _: page, name="hibernating", host="127.0.0.1", port=0)
    server.start()
    cmdb = connect(server.url)
    with pytest.raises(Unavailable):
        cmdb.read(ITEM)
    cmdb.close()
    server.stop()


def test_a_redirect_is_not_followed_with_the_password() -> None:
    asked: list[Request] = []

    def away(request: Request) -> Reply:
        asked.append(request)
        return Reply(302, b"", {"Location": "/login.do"})

    server = HttpServer(away, name="redirecting", host="127.0.0.1", port=0)
    server.start()
    cmdb = connect(server.url)
    with pytest.raises(Conflict, match="302"):
        cmdb.read(ITEM)
    cmdb.close()
    server.stop()
    assert len(asked) == 1


def test_a_write_that_is_taken_but_not_kept_is_a_conflict() -> None:
    kept = Reply.json(200, {"result": {"sys_id": ITEM, "ip_address": "10.0.0.1"}})
    server = HttpServer(lambda _: kept, name="stubborn", host="127.0.0.1", port=0)
    server.start()
    cmdb = connect(server.url)
    with pytest.raises(Conflict, match="kept its own correlation_id, ip_address"):
        cmdb.update(ITEM, MOVE)
    cmdb.close()
    server.stop()


def test_a_certificate_authority_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("not a certificate")
    with pytest.raises(ssl.SSLError):
        ServiceNow(Connection(url="https://cmdb.example.com", ca_file=authority))


# --- the stand-in is as strict as the Table API, or more ----------------------------------------------------------


def refused(response: httpx.Response) -> str:
    document = response.json()
    assert document["status"] == "failure"
    assert set(document["error"]) == {"message", "detail"}
    return f"{document['error']['message']}: {document['error']['detail']}"


def test_without_credentials_the_call_is_refused_as_servicenow_does(instance: Instance) -> None:
    response = call(instance, "GET", f"cmdb_ci_server/{ITEM}", auth=None)
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert refused(response) == "User Not Authenticated: Required to provide Auth information"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "cmdb_ci_unknown", None, 400, "Invalid table cmdb_ci_unknown"),
        ("GET", "cmdb_ci_server/nobody", None, 404, "No Record found"),
        ("PATCH", "cmdb_ci_server/nobody", {"comments": "x"}, 404, "No Record found"),
        ("GET", "cmdb_ci_server/a/b", None, 404, "does not represent any resource"),
        ("DELETE", f"cmdb_ci_server/{ITEM}", None, 405, "Method not supported"),
        ("PATCH", f"cmdb_ci_server/{ITEM}", {"colour": "blue"}, 400, "has no field colour"),
        ("PATCH", f"cmdb_ci_server/{ITEM}", {"sys_id": "x"}, 400, "sys_id is read only"),
        ("PATCH", f"cmdb_ci_server/{ITEM}", {"install_status": 7}, 400, "must be a string, not 7"),
        ("POST", "cmdb_rel_ci", {"name": "x"}, 400, "cmdb_rel_ci has no field name"),
        ("POST", "cmdb_rel_ci", ["x"], 400, "not valid JSON"),
        ("GET", "cmdb_ci_server?sysparm_query=colour=blue", None, 400, "cannot read 'colour=blue'"),
        ("GET", "cmdb_ci_server?sysparm_query=nameLIKEbilling", None, 400, "cannot read 'nameLIKEbilling'"),
        ("GET", "cmdb_ci_server?sysparm_fields=name,colour", None, 400, "has no field colour"),
        ("GET", "cmdb_ci_server?sysparm_limit=all", None, 400, "must be a whole number"),
        ("GET", "cmdb_ci_server?sysparm_limits=1", None, 400, "sysparm_limits"),
    ],
)
def test_what_the_api_does_not_know_is_refused(
    instance: Instance, ledger: Ledger, method: str, path: str, body: Any, status: int, words: str
) -> None:
    response = call(instance, method, path, **({} if body is None else {"json": body}))
    assert response.status_code == status
    assert words in refused(response)
    assert ledger.entries() == []


def test_a_body_must_be_json_and_say_so(instance: Instance) -> None:
    path = f"cmdb_ci_server/{ITEM}"
    assert call(instance, "PATCH", path, content=b'{"comments": "x"}').status_code == 415
    assert call(instance, "PATCH", path, data={"comments": "x"}).status_code == 415
    response = call(instance, "PATCH", path, content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == HTTPStatus.BAD_REQUEST


def test_a_list_is_filtered_cut_and_counted(instance: Instance) -> None:
    everything = call(instance, "GET", "cmdb_ci_server").json()["result"]
    assert len(everything) == 4
    response = call(instance, "GET", "cmdb_ci_server?sysparm_fields=name,ip_address&sysparm_limit=2&sysparm_offset=1")
    assert [set(row) for row in response.json()["result"]] == [{"name", "ip_address"}] * 2
    assert response.headers["X-Total-Count"] == "4"
    found = call(instance, "GET", "cmdb_ci_server?sysparm_query=name=BILLING-web-01^virtual=true").json()["result"]
    assert [row["sys_id"] for row in found] == [ITEM]


def test_a_created_record_has_an_id_and_a_place(instance: Instance, ledger: Ledger) -> None:
    body = {"name": "billing-web-01", "object_id": "i-0123456789abcdef0"}
    response = call(instance, "POST", "cmdb_ci_vm_instance", json=body)
    created = response.json()["result"]
    assert response.status_code == HTTPStatus.CREATED
    assert response.headers["Location"].endswith(created["sys_id"])
    assert len(created["sys_id"]) == 32
    assert (created["sys_class_name"], created["sys_mod_count"]) == ("cmdb_ci_vm_instance", "0")
    (entry,) = ledger.entries(service="servicenow", operation="create")
    assert entry.targets == (created["sys_id"], "billing-web-01")


def test_put_writes_like_patch_and_a_write_of_nothing_new_is_none(instance: Instance, ledger: Ledger) -> None:
    path = f"cmdb_ci_server/{ITEM}"
    for method in ("PUT", "PATCH"):
        written = call(instance, method, path, json={"comments": "moved"}).json()["result"]
        assert (written["comments"], written["name"], written["sys_mod_count"]) == ("moved", MACHINE.name, "1")
    assert updates(ledger) == 1


def test_references_are_links_unless_they_are_left_out(instance: Instance) -> None:
    relation = {"parent": ITEM, "child": "x", "type": "y"}
    created = call(instance, "POST", "cmdb_rel_ci", json=relation).json()["result"]
    assert created["parent"] == {"link": f"/api/now/table/cmdb_ci/{ITEM}", "value": ITEM}
    path = f"cmdb_rel_ci/{created['sys_id']}?sysparm_exclude_reference_link=true"
    assert call(instance, "GET", path).json()["result"]["parent"] == ITEM


def test_items_of_a_world_have_the_same_ids_every_time() -> None:
    assert ci_sys_id("billing-web-01") == ITEM
    assert len({ci_sys_id(machine.name) for machine in build_world(16, applications=20).machines}) == 20
