"""The Route 53 adapter against moto's Route 53 over HTTP and the local DNS server over the network."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from adapters.route53 import Route53
from localcloud.dns import DnsServer
from localcloud.route53 import route53_lookup
from migration.errors import Conflict, MigrationExecutionError, NotFound, PrerequisiteError, Unavailable
from migration.ports import RecordKey, RecordSet
from tests.contracts.route53_site import (
    ACCOUNT,
    NEW,
    OLD,
    THEIRS,
    ZONE,
    hosted_zone,
    key,
    local_route53,
    make_zone,
    put,
    record_sets,
)

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

MARK = "mig-billing-1/1/switch/1"


@pytest.fixture(scope="module")
def client() -> Iterator["Route53Client"]:
    with local_route53() as client:
        yield client


@pytest.fixture
def zone_id(client: "Route53Client") -> Iterator[str]:
    with hosted_zone(client) as made:
        yield made


@pytest.fixture(scope="module")
def dns_server(client: "Route53Client") -> Iterator[DnsServer]:
    server = DnsServer(route53_lookup(ACCOUNT))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def names(client: "Route53Client", dns_server: DnsServer, zone_id: str) -> Route53:
    return Route53(lambda *_: client, servers=(dns_server.address,), poll=timedelta(milliseconds=10))


class Spy:
    """Passes every call on to a real client, and lets a test act just before or after one."""

    def __init__(self, client: Any, **around: Any) -> None:
        self._client = client
        self._around = around
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            act = self._around.get(name)
            return act(lambda: getattr(self._client, name)(**arguments)) if act else self._call(name, arguments)

        return call

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        return getattr(self._client, name)(**arguments)

    def batches(self) -> list[Any]:
        return [arguments["ChangeBatch"] for name, arguments in self.calls if name == "change_resource_record_sets"]


def spied(spy: Spy) -> Route53:
    client = cast("Route53Client", spy)
    return Route53(lambda *_: client, poll=timedelta(milliseconds=10), in_sync_within=timedelta(milliseconds=50))


# --- reading -----------------------------------------------------------------------------------------------------


def test_an_absent_record_set_reads_as_none(names: Route53) -> None:
    assert names.read(key()) is None


def test_a_record_set_is_read_with_sorted_values(client: "Route53Client", names: Route53, zone_id: str) -> None:
    put(client, zone_id, key(), RecordSet(ttl=300, values=("127.1.1.9", "127.1.1.10")))
    put(client, zone_id, key("aaa"), OLD)
    put(client, zone_id, key("zzz"), OLD)
    assert names.read(key()) == RecordSet(ttl=300, values=("127.1.1.10", "127.1.1.9"))
    assert names.read(key(zone_id=zone_id)) == names.read(key())
    assert names.read(key(record_type="AAAA")) is None


def test_names_and_addresses_have_one_spelling(client: "Route53Client", names: Route53, zone_id: str) -> None:
    put(client, zone_id, key("www", "CNAME"), RecordSet(ttl=60, values=("Billing.Example.Internal.",)))
    put(client, zone_id, key("six", "AAAA"), RecordSet(ttl=60, values=("2001:0DB8::0001",)))
    assert names.read(key("www", "CNAME")) == RecordSet(ttl=60, values=("billing.example.internal",))
    assert names.read(key("six", "AAAA")) == RecordSet(ttl=60, values=("2001:db8::1",))


def test_a_missing_zone_is_not_found(names: Route53) -> None:
    with pytest.raises(NotFound, match=r"no hosted zone is named example\.com"):
        names.read(RecordKey(zone="example.com", name="www.example.com", type="A"))
    with pytest.raises(NotFound, match="NoSuchHostedZone"):
        names.read(key(zone_id="Z0000000000000000000"))


def test_two_zones_of_one_name_are_listed_and_an_id_chooses(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    private = make_zone(client, ZONE, private=True)
    put(client, private, key(), OLD)
    with pytest.raises(Conflict, match="2 hosted zones") as caught:
        names.read(key())
    assert f"{private} (private)" in str(caught.value)
    assert f"{zone_id} (public)" in str(caught.value)
    assert names.read(key(zone_id=private)) == OLD
    assert names.read(key(zone_id=zone_id)) is None


def test_a_zone_id_of_another_zone_is_a_conflict(client: "Route53Client", names: Route53) -> None:
    other = make_zone(client, "example.com")
    with pytest.raises(Conflict, match=r"is example\.com, not example\.internal"):
        names.read(key(zone_id=other))


def test_an_alias_is_refused_because_it_could_not_be_put_back(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    alias: Any = {
        "Name": key().name,
        "Type": "A",
        "AliasTarget": {
            "HostedZoneId": "Z2FDTNDATAQYW2",
            "DNSName": "d123.example.com.",
            "EvaluateTargetHealth": False,
        },
    }
    batch: Any = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": alias}]}
    client.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)
    with pytest.raises(Conflict, match="alias of d123"):
        names.read(key())


# --- changing ----------------------------------------------------------------------------------------------------


def test_a_switch_and_its_undo_leave_the_record_as_it_was(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    put(client, zone_id, key(), OLD)
    put(client, zone_id, key("shop"), THEIRS)
    names.change(key(), before=OLD, after=NEW, mark=MARK)
    assert names.read(key()) == NEW
    names.change(key(), before=NEW, after=OLD, mark=MARK)
    assert names.read(key()) == OLD
    names.change(key(), before=OLD, after=NEW, mark=MARK)
    assert names.read(key()) == NEW
    assert names.read(key("shop")) == THEIRS


def test_an_absent_record_is_created_and_taken_away_again(names: Route53) -> None:
    names.change(key(), before=None, after=NEW, mark=MARK)
    assert names.read(key()) == NEW
    names.change(key(), before=NEW, after=None, mark=MARK)
    assert names.read(key()) is None
    names.change(key(), before=None, after=NEW, mark=MARK)
    assert names.read(key()) == NEW


def test_a_change_of_the_ttl_alone_is_a_change(client: "Route53Client", names: Route53, zone_id: str) -> None:
    slow = RecordSet(ttl=3600, values=OLD.values)
    put(client, zone_id, key(), slow)
    names.change(key(), before=slow, after=OLD, mark=MARK)
    assert names.read(key()) == OLD


def test_what_is_so_already_is_not_changed_again(client: "Route53Client", zone_id: str) -> None:
    put(client, zone_id, key(), NEW)
    spy = Spy(client)
    spied(spy).change(key(), before=OLD, after=RecordSet(ttl=60, values=NEW.values[::-1]), mark=MARK)
    assert spy.batches() == []


def test_a_change_is_one_batch_that_carries_the_mark(client: "Route53Client", zone_id: str) -> None:
    put(client, zone_id, key(), OLD)
    spy = Spy(client)
    spied(spy).change(key(), before=OLD, after=NEW, mark=MARK)
    (batch,) = spy.batches()
    assert batch["Comment"] == f"migrator {MARK}"
    assert [change["Action"] for change in batch["Changes"]] == ["DELETE", "CREATE"]


@pytest.mark.parametrize("wanted", [NEW, None])
def test_what_somebody_else_changed_is_named_and_left_alone(
    client: "Route53Client", names: Route53, zone_id: str, wanted: RecordSet | None
) -> None:
    put(client, zone_id, key(), THEIRS)
    with pytest.raises(Conflict, match=r"it is 127\.9\.9\.9 \(TTL 300\)"):
        names.change(key(), before=OLD, after=wanted, mark=MARK)
    assert names.read(key()) == THEIRS


def test_a_record_that_somebody_removed_is_not_made_again(names: Route53) -> None:
    with pytest.raises(Conflict, match="it is absent"):
        names.change(key(), before=OLD, after=NEW, mark=MARK)
    assert names.read(key()) is None


def test_who_is_faster_between_look_and_change_wins(client: "Route53Client", zone_id: str) -> None:
    put(client, zone_id, key(), OLD)

    def somebody_first(change: Any) -> Any:
        put(client, zone_id, key(), THEIRS)
        return change()

    names = spied(Spy(client, change_resource_record_sets=somebody_first))
    with pytest.raises(Conflict, match="changed by somebody else"):
        names.change(key(), before=OLD, after=NEW, mark=MARK)
    assert names.read(key()) == THEIRS


def test_two_at_once_make_one_change_and_no_mixture(client: "Route53Client", names: Route53, zone_id: str) -> None:
    put(client, zone_id, key(), OLD)
    wanted = [RecordSet(ttl=60, values=(f"127.1.1.{index}",)) for index in range(1, 9)]
    done: list[RecordSet] = []
    refused: list[Conflict] = []

    def change(after: RecordSet) -> None:
        try:
            names.change(key(), before=OLD, after=after, mark=MARK)
            done.append(after)
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=change, args=(after,)) for after in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(refused)) == (1, 7)
    assert names.read(key()) == done[0]


def test_a_lost_reply_that_the_client_repeats_is_one_change(client: "Route53Client", zone_id: str) -> None:
    put(client, zone_id, key(), OLD)

    def twice(change: Any) -> Any:
        change()
        return change()

    names = spied(Spy(client, change_resource_record_sets=twice))
    names.change(key(), before=OLD, after=NEW, mark=MARK)
    assert names.read(key()) == NEW


def test_a_weighted_record_keeps_its_weight_and_its_sibling(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    put(client, zone_id, key(), OLD, SetIdentifier="source", Weight=90)
    put(client, zone_id, key(), THEIRS, SetIdentifier="other", Weight=10)
    names.change(key(set_identifier="source"), before=OLD, after=NEW, mark=MARK)
    assert names.read(key(set_identifier="source")) == NEW
    assert names.read(key(set_identifier="other")) == THEIRS
    assert {each["SetIdentifier"]: each["Weight"] for each in record_sets(client, zone_id)} == {
        "source": 90,
        "other": 10,
    }
    with pytest.raises(Conflict, match="several, by set identifier"):
        names.read(key())
    with pytest.raises(Conflict, match="routing policy"):
        names.change(key(set_identifier="third"), before=None, after=NEW, mark=MARK)


def test_a_change_that_route_53_refuses_is_a_conflict_in_its_words(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    put(client, zone_id, key(record_type="CNAME"), RecordSet(ttl=60, values=("www.example.com",)))
    with pytest.raises(Conflict, match="not permitted as it conflicts"):
        names.change(key(), before=None, after=NEW, mark=MARK)


def test_a_change_is_waited_for_until_it_is_in_sync(client: "Route53Client", zone_id: str) -> None:
    looks = iter(["PENDING", "PENDING", "INSYNC"])
    spy = Spy(client, get_change=lambda _: {"ChangeInfo": {"Status": next(looks)}})
    spied(spy).change(key(), before=None, after=NEW, mark=MARK)
    assert [name for name, _ in spy.calls].count("get_change") == 3


def test_a_change_that_does_not_get_in_sync_in_time_is_worth_a_retry(client: "Route53Client", zone_id: str) -> None:
    names = spied(Spy(client, get_change=lambda _: {"ChangeInfo": {"Status": "PENDING"}}))
    with pytest.raises(Unavailable, match="not brought"):
        names.change(key(), before=None, after=NEW, mark=MARK)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("Throttling", 400, Unavailable),
        ("PriorRequestNotComplete", 400, Unavailable),
        ("InternalError", 500, Unavailable),
        ("AccessDenied", 403, MigrationExecutionError),
        ("NoSuchHostedZone", 404, NotFound),
    ],
)
def test_errors_of_route_53_say_whether_a_retry_helps(
    client: "Route53Client", zone_id: str, code: str, status: int, expected: type[Exception]
) -> None:
    def fail(_: Any) -> Any:
        response: Any = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(response, "ChangeResourceRecordSets")

    names = spied(Spy(client, change_resource_record_sets=fail))
    with pytest.raises(expected, match="said so") as caught:
        names.change(key(), before=None, after=NEW, mark=MARK)
    assert type(caught.value) is expected


def test_no_answer_from_route_53_is_worth_a_retry(client: "Route53Client", zone_id: str) -> None:
    def fail(_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(Unavailable):
        spied(Spy(client, list_resource_record_sets=fail)).read(key())


# --- asking ------------------------------------------------------------------------------------------------------


def test_dns_answers_what_was_changed(names: Route53, dns_server: DnsServer) -> None:
    assert names.authoritative_answer(key()) == {dns_server.address: ()}
    names.change(key(), before=None, after=NEW, mark=MARK)
    assert names.authoritative_answer(key()) == {dns_server.address: NEW.values}
    assert names.authoritative_answer(key(record_type="AAAA")) == {dns_server.address: ()}
    names.change(key(), before=NEW, after=OLD, mark=MARK)
    assert names.authoritative_answer(key()) == {dns_server.address: OLD.values}


def test_an_alias_name_answers_no_address_but_its_target_when_asked_for_it(
    client: "Route53Client", names: Route53, dns_server: DnsServer, zone_id: str
) -> None:
    put(client, zone_id, key("www", "CNAME"), RecordSet(ttl=60, values=("billing.example.internal",)))
    assert names.authoritative_answer(key("www")) == {dns_server.address: ()}
    assert names.authoritative_answer(key("www", "CNAME")) == {dns_server.address: ("billing.example.internal",)}


def test_a_server_that_refuses_or_is_silent_is_worth_a_retry(names: Route53, client: "Route53Client") -> None:
    with pytest.raises(Unavailable, match="REFUSED"):
        names.authoritative_answer(RecordKey(zone="example.com", name="www.example.com", type="A"))
    with pytest.raises(Unavailable, match="does not answer"):
        Route53(
            lambda *_: client, servers=("127.0.0.1:9",), answer_within=timedelta(milliseconds=50)
        ).authoritative_answer(key())


def test_a_private_zone_without_configured_servers_says_what_to_set(client: "Route53Client", zone_id: str) -> None:
    private = make_zone(client, ZONE, private=True)
    with pytest.raises(PrerequisiteError) as caught:
        Route53(lambda *_: client).authoritative_answer(key(zone_id=private))
    assert caught.value.action is not None
    assert "dns_servers" in caught.value.action


def test_dns_knows_the_apex_the_name_servers_and_names_between(
    client: "Route53Client", names: Route53, zone_id: str
) -> None:
    lookup = route53_lookup(ACCOUNT)
    put(client, zone_id, key("a.b"), OLD)
    apex, servers = lookup(ZONE, "SOA"), lookup(ZONE, "NS")
    between, absent = lookup(f"b.{ZONE}", "A"), lookup(f"c.{ZONE}", "A")
    assert apex
    assert apex.records[0][1].endswith(f"hostmaster.{ZONE}. 1 7200 900 1209600 60")
    assert servers
    assert servers.records
    assert between
    assert (between.exists, between.records) == (True, ())
    assert absent
    assert not absent.exists
    assert lookup("notexample.internal", "A") is None
