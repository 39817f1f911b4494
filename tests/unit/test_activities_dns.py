from datetime import UTC, datetime, timedelta

import pytest

from activities.dns import ChangeRecords, DomainNameSystem, RecordChange, WatchRecords
from migration.errors import Conflict
from migration.marks import Mark
from migration.ports import RecordKey, RecordSet
from migration.steps import Step
from tests.fakes.environment import Attempts
from tests.fakes.names import FakeNames

MARK = Mark(migration_id="mig-a", generation=1, step=Step.SWITCH, entry=1, correlation_id="mig-a")
KEY = RecordKey(zone="example.internal", name="billing.example.internal", type="A")
OLD = RecordSet(ttl=300, values=("10.1.0.11",))
NEW = RecordSet(ttl=60, values=("10.2.0.5",))
FOREIGN = RecordSet(ttl=60, values=("192.0.2.99",))
SWITCH = ChangeRecords(mark=MARK, changes=(RecordChange(provider="route53", key=KEY, before=OLD, after=NEW),))
UNDO = ChangeRecords(mark=MARK, changes=(RecordChange(provider="route53", key=KEY, before=NEW, after=OLD),))


@pytest.fixture
def names() -> FakeNames:
    names = FakeNames("example.internal")
    names.edit(KEY.name, "A", OLD)
    return names


@pytest.fixture
def dns(names: FakeNames) -> DomainNameSystem:
    return DomainNameSystem(lambda _: names, timedelta(minutes=2), timedelta(milliseconds=1), timedelta(milliseconds=1))


def record(names: FakeNames) -> RecordSet | None:
    return names.records.get((KEY.name, "A"))


def test_a_record_is_switched_once_under_the_mark(names: FakeNames, dns: DomainNameSystem) -> None:
    names.lose_reply("change")
    environment = Attempts()
    assert environment.error(dns.change_records, SWITCH).type == "Unavailable"
    environment.attempt(dns.change_records, SWITCH)
    assert names.effects == [("change", KEY.name, str(MARK))]
    assert record(names) == NEW


def test_a_record_that_somebody_else_changed_is_not_overwritten(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", FOREIGN)
    error = Attempts().error(dns.change_records, SWITCH)
    assert (error.type, error.non_retryable) == ("CutoverError", True)
    assert record(names) == FOREIGN


def test_the_switch_is_over_when_every_authoritative_server_answers_with_it(
    names: FakeNames, dns: DomainNameSystem
) -> None:
    names.lagging["192.0.2.2:53"] = OLD.values
    environment = Attempts(age=timedelta(minutes=2) - timedelta(milliseconds=50))
    assert "192.0.2.2:53 says 10.1.0.11" in environment.not_yet(dns.change_records, SWITCH).message
    names.lagging.clear()
    environment.age = timedelta(0)
    environment.attempt(dns.change_records, SWITCH)
    assert names.count("change") == 1


def test_a_switch_that_no_server_was_asked_about_is_not_over(names: FakeNames, dns: DomainNameSystem) -> None:
    names.servers.clear()
    environment = Attempts(age=timedelta(minutes=2) - timedelta(milliseconds=50))
    assert "no server was asked" in environment.not_yet(dns.change_records, SWITCH).message


def test_answers_are_compared_as_dns_does(names: FakeNames, dns: DomainNameSystem) -> None:
    alias = RecordKey(zone="example.internal", name="www.example.internal", type="CNAME")
    after = RecordSet(ttl=60, values=("Billing.example.internal",))
    change = RecordChange(provider="route53", key=alias, after=after)
    names.lagging = dict.fromkeys(names.servers, ("billing.example.internal.",))
    Attempts().attempt(dns.change_records, ChangeRecords(mark=MARK, changes=(change,)))
    assert names.records[alias.name, alias.type] == after


def test_a_record_that_did_not_exist_is_made_and_removed_again(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", None)
    made = RecordChange(provider="route53", key=KEY, after=NEW)
    Attempts().attempt(dns.change_records, ChangeRecords(mark=MARK, changes=(made,)))
    assert record(names) == NEW
    removed = RecordChange(provider="route53", key=KEY, before=NEW)
    Attempts().attempt(dns.restore_records, ChangeRecords(mark=MARK, changes=(removed,)))
    assert record(names) is None


def test_a_record_that_is_still_ours_is_put_back_once(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", NEW)
    names.lose_reply("change")
    environment = Attempts()
    environment.error(dns.restore_records, UNDO)
    environment.attempt(dns.restore_records, UNDO)
    assert record(names) == OLD
    assert names.count("change") == 1


def test_a_record_that_is_no_longer_ours_is_left_as_it_is(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", FOREIGN)
    Attempts().attempt(dns.restore_records, UNDO)
    assert record(names) == FOREIGN


def test_a_record_that_somebody_turned_into_an_alias_is_left_as_it_is(names: FakeNames, dns: DomainNameSystem) -> None:
    names.aliases.add((KEY.name, "A"))
    Attempts().attempt(dns.restore_records, UNDO)
    assert names.effects == []


def test_a_zone_that_is_gone_has_nothing_to_put_back(names: FakeNames, dns: DomainNameSystem) -> None:
    names.zones.clear()
    Attempts().attempt(dns.restore_records, UNDO)
    assert names.effects == []


def test_a_record_that_is_ours_and_cannot_be_put_back_is_a_failed_undo(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", NEW)
    names.refuse("change", Conflict("the zone is locked"))
    error = Attempts().error(dns.restore_records, UNDO)
    assert (error.type, error.message) == ("RollbackError", "the zone is locked")


# --- the watch ---------------------------------------------------------------------------------------------------


def watch_until(left: timedelta, failures: int = 2) -> WatchRecords:
    """Watch the switched record for as long as that."""
    return WatchRecords(changes=SWITCH.changes, until=datetime.now(UTC) + left, failures=failures)


def test_records_that_lead_to_the_target_are_watched_to_the_end(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", NEW)
    environment = Attempts()
    look = environment.not_yet(dns.watch_records, watch_until(timedelta(hours=1)))
    assert look.message == "the records are as they were switched"
    assert environment.attempt(dns.watch_records, watch_until(timedelta(0))).wrong is None


def test_a_record_that_somebody_changes_is_wrong_after_so_many_looks(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", FOREIGN)
    environment, request = Attempts(), watch_until(timedelta(hours=1))
    assert "192.0.2.99" in environment.not_yet(dns.watch_records, request).message
    wrong = environment.attempt(dns.watch_records, request).wrong
    assert wrong is not None
    assert f"{KEY.name}: 192.0.2.1:53 says 192.0.2.99" in wrong


def test_one_server_of_the_zone_that_answers_otherwise_is_enough(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", NEW)
    names.lagging["192.0.2.2:53"] = OLD.values
    wrong = Attempts().attempt(dns.watch_records, watch_until(timedelta(hours=1), failures=1)).wrong
    assert wrong == f"{KEY.name}: 192.0.2.2:53 says 10.1.0.11"


def test_a_good_look_between_starts_the_count_again(names: FakeNames, dns: DomainNameSystem) -> None:
    environment, request = Attempts(), watch_until(timedelta(hours=1))
    for record in (FOREIGN, NEW, FOREIGN):
        names.edit(KEY.name, "A", record)
        environment.not_yet(dns.watch_records, request)
    assert environment.attempt(dns.watch_records, request).wrong


def test_a_record_that_is_wrong_at_the_end_is_watched_on_until_that_is_sure(
    names: FakeNames, dns: DomainNameSystem
) -> None:
    names.edit(KEY.name, "A", None)
    environment, request = Attempts(), watch_until(timedelta(0))
    assert environment.not_yet(dns.watch_records, request).message.startswith("not as they were switched: ")
    assert environment.attempt(dns.watch_records, request).wrong


def test_a_watch_changes_nothing(names: FakeNames, dns: DomainNameSystem) -> None:
    names.edit(KEY.name, "A", FOREIGN)
    Attempts().attempt(dns.watch_records, watch_until(timedelta(hours=1), failures=1))
    assert (names.effects, record(names)) == ([], FOREIGN)
