"""What any DNS provider and any CMDB do: Route 53 and ServiceNow behind their adapters, and those in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr

from adapters.route53 import Route53
from adapters.servicenow import ServiceNow
from localcloud.dns import DnsServer
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.route53 import route53_lookup
from localcloud.servicenow import ServiceNow as Instance
from localcloud.servicenow import ci_sys_id
from localcloud.world import build_world
from migration.errors import Conflict, NotFound
from migration.ports import ConfigurationDatabase, DomainNames, RecordKey
from migration.settings import Connection
from tests.contracts.route53_site import ACCOUNT, NEW, OLD, THEIRS, ZONE, hosted_zone, key, local_route53
from tests.fakes.inventory import FakeDatabase
from tests.fakes.names import FakeNames

MARK = "mig-billing-1/1/switch/1"
MACHINES = build_world(16).machines
ITEM = ci_sys_id(MACHINES[0].name)


@contextmanager
def real_names() -> Iterator[DomainNames]:
    with local_route53() as client, hosted_zone(client):
        server = DnsServer(route53_lookup(ACCOUNT))
        server.start()
        yield Route53(lambda *_: client, servers=(server.address,), poll=timedelta(milliseconds=10))
        server.stop()


@pytest.fixture(params=["Route 53", "in memory"])
def names(request: pytest.FixtureRequest) -> Iterator[DomainNames]:
    if request.param == "in memory":
        yield FakeNames(ZONE)
        return
    with real_names() as names:
        yield names


@contextmanager
def real_items() -> Iterator[ConfigurationDatabase]:
    instance = Instance(Ledger(), FaultPlan(), username="migrator", password="correct horse")
    instance.seed_servers(MACHINES)
    instance.start()
    adapter = ServiceNow(Connection(url=instance.url, username="migrator", password=SecretStr("correct horse")))
    yield adapter
    adapter.close()
    instance.stop()


@pytest.fixture(params=["ServiceNow", "in memory"])
def items(request: pytest.FixtureRequest) -> Iterator[ConfigurationDatabase]:
    if request.param == "in memory":
        yield FakeDatabase({ITEM: {"name": MACHINES[0].name, "ip_address": MACHINES[0].address}})
        return
    with real_items() as items:
        yield items


# --- names -------------------------------------------------------------------------------------------------------


def test_a_record_is_made_changed_and_taken_away_again(names: DomainNames) -> None:
    assert names.read(key()) is None
    for before, after in ((None, OLD), (OLD, NEW), (NEW, None)):
        names.change(key(), before=before, after=after, mark=MARK)
        assert names.read(key()) == after
        assert set(names.authoritative_answer(key()).values()) == {after.values if after else ()}


def test_what_is_so_already_is_no_conflict_whatever_it_was_before(names: DomainNames) -> None:
    names.change(key(), before=None, after=NEW, mark=MARK)
    names.change(key(), before=OLD, after=NEW, mark=MARK)
    names.change(key("other"), before=OLD, after=None, mark=MARK)
    assert (names.read(key()), names.read(key("other"))) == (NEW, None)


def test_what_is_neither_before_nor_after_is_left_alone(names: DomainNames) -> None:
    names.change(key(), before=None, after=THEIRS, mark=MARK)
    for before in (OLD, None):
        with pytest.raises(Conflict):
            names.change(key(), before=before, after=NEW, mark=MARK)
    with pytest.raises(Conflict):
        names.change(key("other"), before=OLD, after=NEW, mark=MARK)
    assert (names.read(key()), names.read(key("other"))) == (THEIRS, None)


def test_a_zone_that_is_not_there_is_not_found(names: DomainNames) -> None:
    stranger = RecordKey(zone="example.com", name="billing.example.com", type="A")
    with pytest.raises(NotFound):
        names.read(stranger)
    with pytest.raises(NotFound):
        names.change(stranger, before=None, after=NEW, mark=MARK)


# --- items -------------------------------------------------------------------------------------------------------


def test_an_item_is_updated_and_read_back(items: ConfigurationDatabase) -> None:
    assert items.read(ITEM).fields["ip_address"] == MACHINES[0].address
    updated = items.update(ITEM, {"ip_address": "10.2.0.5", "correlation_id": MARK})
    assert updated == items.read(ITEM)
    assert (updated.fields["ip_address"], updated.fields["correlation_id"]) == ("10.2.0.5", MARK)
    assert updated.fields["name"] == MACHINES[0].name


def test_an_item_that_is_not_there_is_not_found(items: ConfigurationDatabase) -> None:
    with pytest.raises(NotFound):
        items.read("0" * 32)
    with pytest.raises(NotFound):
        items.update("0" * 32, {"ip_address": "10.2.0.5"})
