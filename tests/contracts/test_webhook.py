"""Signed callbacks: the adapter against the receiver, and against receivers that misbehave."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import standardwebhooks

from adapters.callback_guard import CallbackGuard
from adapters.webhook import StandardWebhooks
from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger
from localcloud.receiver import CallbackReceiver
from migration.ports import Delivery

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MIGRATION = "mig-billing-1"
BODY = json.dumps({"type": "MigrationStatusChanged", "data": {"migrationId": MIGRATION, "message": "zażółć"}})
GUARD = CallbackGuard.allowing(["127.0.0.0/8"])
ADAPTER = StandardWebhooks(GUARD)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def faults() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def receiver(ledger: Ledger, faults: FaultPlan) -> Iterator[CallbackReceiver]:
    receiver = CallbackReceiver(ledger, faults, secret=SECRET)
    receiver.start()
    yield receiver
    receiver.stop()


def deliver(url: str, message_id: str = f"{MIGRATION}:1:1", secret: str = SECRET, body: str = BODY) -> Delivery:
    return ADAPTER.deliver(url, message_id=message_id, body=body, secret=secret)


@contextmanager
def answering(answer: Callable[[Request], Reply]) -> Iterator[str]:
    server = HttpServer(answer, name="other", host="127.0.0.1", port=0)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def shown(receiver: CallbackReceiver, migration_id: str = MIGRATION) -> dict[str, Any]:
    response = httpx.get(f"{receiver.url}/deliveries", params={"migrationId": migration_id}, trust_env=False)
    document: dict[str, Any] = response.json()
    return document


# --- delivered ---------------------------------------------------------------------------------------------------


def test_a_signed_message_is_delivered_and_verified(receiver: CallbackReceiver, ledger: Ledger) -> None:
    assert deliver(f"{receiver.url}/migrations") == Delivery(outcome="delivered", status=204)
    (delivered,) = receiver.deliveries()
    assert delivered.verified
    assert (delivered.path, delivered.webhook_id, delivered.migration_id) == (
        "/migrations",
        f"{MIGRATION}:1:1",
        MIGRATION,
    )
    assert (delivered.type, delivered.body) == ("MigrationStatusChanged", BODY)
    assert delivered.headers["content-type"] == "application/json"
    (entry,) = ledger.entries(service="callback", operation="deliver", target=MIGRATION)
    assert entry.detail["webhook-id"] == f"{MIGRATION}:1:1"


def test_a_wrong_secret_is_not_taken_and_the_receiver_says_why(receiver: CallbackReceiver, ledger: Ledger) -> None:
    delivery = deliver(receiver.url, secret=OTHER_SECRET)
    assert (delivery.outcome, delivery.status) == ("retry", 401)
    assert delivery.error == 'HTTP 401: {"error": "No matching signature found"}'
    document = shown(receiver)
    assert (document["accepted"], document["unverified"]) == (0, 1)
    assert document["deliveries"][0]["reason"] == "No matching signature found"
    assert ledger.entries() == []


def test_a_repeat_of_the_same_id_is_counted(receiver: CallbackReceiver) -> None:
    for message_id in ("a:1:1", "a:1:2", "a:1:2"):
        deliver(receiver.url, message_id=message_id)
    document = shown(receiver)
    assert (document["accepted"], document["duplicates"]) == (3, 1)
    assert [each["duplicate"] for each in document["deliveries"]] == [False, False, True]
    assert [each["seq"] for each in document["deliveries"]] == [1, 2, 3]


def test_deliveries_are_shown_for_one_migration(receiver: CallbackReceiver) -> None:
    deliver(receiver.url)
    assert shown(receiver, "mig-other-1")["deliveries"] == []
    assert len(shown(receiver)["deliveries"]) == 1
    assert httpx.get(f"{receiver.url}/deliveries?migration=x", trust_env=False).status_code == 400


# --- two secrets, while one replaces the other -------------------------------------------------------------------


def test_a_message_carries_a_signature_for_each_secret_in_their_order(receiver: CallbackReceiver) -> None:
    assert deliver(receiver.url, secret=f"{OTHER_SECRET}\n{SECRET}\n").outcome == "delivered"
    (delivered,) = receiver.deliveries()
    sent_at = datetime.fromtimestamp(int(delivered.headers["webhook-timestamp"]), UTC)
    expected = [standardwebhooks.Webhook(one).sign(f"{MIGRATION}:1:1", sent_at, BODY) for one in (OTHER_SECRET, SECRET)]
    assert delivered.headers["webhook-signature"].split(" ") == expected


@pytest.mark.parametrize(
    ("sender", "receiver_has", "status"),
    [
        (f"{SECRET} {OTHER_SECRET}", SECRET, 204),
        (f"{SECRET} {OTHER_SECRET}", OTHER_SECRET, 204),
        (OTHER_SECRET, f"{SECRET} {OTHER_SECRET}", 204),
        (SECRET, OTHER_SECRET, 401),
    ],
)
def test_a_rotation_loses_no_message_whichever_side_begins(
    ledger: Ledger, faults: FaultPlan, sender: str, receiver_has: str, status: int
) -> None:
    receiver = CallbackReceiver(ledger, faults, secret=receiver_has)
    receiver.start()
    try:
        assert deliver(receiver.url, secret=sender).status == status
    finally:
        receiver.stop()


# --- planned faults ----------------------------------------------------------------------------------------------


def test_a_busy_receiver_says_how_long_to_wait(receiver: CallbackReceiver, faults: FaultPlan, ledger: Ledger) -> None:
    faults.add(Rule("callback", "deliver", "refuse", target=MIGRATION, times=1, status=429))
    delivery = deliver(receiver.url)
    assert (delivery.outcome, delivery.status, delivery.retry_after) == ("retry", 429, timedelta(seconds=1))
    assert deliver(receiver.url).outcome == "delivered"
    assert len(ledger.entries()) == 1
    assert [each.status for each in receiver.deliveries()] == [429, 204]


def test_gone_is_for_good(receiver: CallbackReceiver, faults: FaultPlan) -> None:
    faults.add(Rule("callback", "deliver", "refuse", status=410, message="moved away"))
    delivery = deliver(receiver.url)
    assert (delivery.outcome, delivery.status) == ("gone", 410)
    assert "moved away" in str(delivery.error)


def test_a_failing_receiver_is_tried_again(receiver: CallbackReceiver, faults: FaultPlan) -> None:
    faults.add(Rule("callback", "deliver", "refuse", times=1, status=500))
    delivery = deliver(receiver.url)
    assert (delivery.outcome, delivery.status, delivery.retry_after) == ("retry", 500, None)


def test_a_lost_reply_is_tried_again_and_seen_as_a_repeat(receiver: CallbackReceiver, faults: FaultPlan) -> None:
    faults.add(Rule("callback", "deliver", "replyLost", times=1))
    delivery = deliver(receiver.url)
    assert (delivery.outcome, delivery.status) == ("retry", None)
    assert delivery.error == "the connection was closed without a whole answer"
    assert deliver(receiver.url).outcome == "delivered"
    assert [each.duplicate for each in receiver.deliveries()] == [False, True]


# --- the other side misbehaves -------------------------------------------------------------------------------------


def test_a_redirect_is_not_followed(receiver: CallbackReceiver) -> None:
    with answering(lambda _: Reply(307, b"", {"Location": receiver.url})) as url:
        delivery = deliver(url)
    assert (delivery.outcome, delivery.status) == ("retry", 307)
    assert receiver.deliveries() == []


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", 86400),
    ],
)
def test_the_wait_that_is_asked_for_may_be_a_number(header: str, wait: int) -> None:
    with answering(lambda _: Reply(503, b"", {"Retry-After": header})) as url:
        assert deliver(url).retry_after == timedelta(seconds=wait)


def test_the_wait_that_is_asked_for_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5))
    with answering(lambda _: Reply(503, b"", {"Retry-After": date})) as url:
        wait = deliver(url).retry_after
    assert wait is not None
    assert timedelta(minutes=4) <= wait <= timedelta(minutes=5)


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=5))
    with answering(lambda _: Reply(503, b"", {"Retry-After": date})) as url:
        assert deliver(url).retry_after == timedelta(0)


def test_a_wait_that_nobody_can_read_is_none() -> None:
    with answering(lambda _: Reply(503, b"", {"Retry-After": "soon"})) as url:
        assert deliver(url).retry_after is None


def test_a_receiver_that_stays_silent_is_given_up_in_time() -> None:
    impatient = StandardWebhooks(GUARD, within=timedelta(seconds=0.5))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # The kernel completes the connection and takes the request; nobody ever answers.
        began = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        delivery = impatient.deliver(url, message_id="a:1:1", body=BODY, secret=SECRET)
    assert (delivery.outcome, delivery.error) == ("retry", "no answer within 0.5 s")
    assert time.monotonic() - began < 3


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    with answering(lambda _: Reply(500, b"x" * (1 << 20))) as url:
        delivery = deliver(url)
    assert delivery.error == "HTTP 500: " + "x" * 200


def test_an_answer_is_shown_without_what_would_steer_a_terminal() -> None:
    with answering(lambda _: Reply(500, b"\x1b[2J\x1b]0;owned\x07 out of\r\n  disk\0")) as url:
        delivery = deliver(url)
    assert delivery.error == "HTTP 500: [2J ]0;owned out of disk"


def test_nobody_there_is_tried_again() -> None:
    delivery = deliver("http://127.0.0.1:9/")
    assert (delivery.outcome, delivery.error) == ("retry", "connection refused")


# --- what is never sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    ["", " ", "whsec_", SECRET.removeprefix("whsec_"), "whsec_not base64", f"{SECRET}!", "whsec_ż", f"{SECRET} x"],
)
def test_an_unusable_secret_is_said_and_not_shown(receiver: CallbackReceiver, secret: str) -> None:
    delivery = deliver(receiver.url, secret=secret)
    assert (delivery.outcome, delivery.error) == (
        "retry",
        "the callback secret is not whsec_ followed by base64",
    )
    assert receiver.deliveries() == []


# --- the receiver is strict ----------------------------------------------------------------------------------------


def signed(message_id: str, at: datetime, body: str) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(SECRET).sign(message_id, at, body),
    }


def test_the_receiver_refuses_what_is_tampered_old_or_unreadable(receiver: CallbackReceiver) -> None:
    now = datetime.now(UTC)
    right = signed("a:1:1", now, BODY)
    cases: list[tuple[dict[str, str], bytes]] = [
        ({}, BODY.encode()),
        (right, BODY.replace("Changed", "Chanced").encode()),
        (right | {"webhook-id": "a:1:2"}, BODY.encode()),
        (signed("a:1:1", now - timedelta(minutes=6), BODY), BODY.encode()),
        (right | {"webhook-signature": "nonsense"}, BODY.encode()),
        (right | {"webhook-signature": "v1,=="}, BODY.encode()),
        (right, b"\xff\xfe"),
    ]
    for headers, body in cases:
        assert httpx.post(receiver.url, content=body, headers=headers, trust_env=False).status_code == 401
    assert [each.verified for each in receiver.deliveries()] == [False] * len(cases)
    assert all(each.reason for each in receiver.deliveries())


def test_two_signatures_are_enough_when_one_is_right(receiver: CallbackReceiver) -> None:
    headers = signed("a:1:1", datetime.now(UTC), BODY)
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    assert httpx.post(receiver.url, content=BODY, headers=headers, trust_env=False).status_code == 204


def test_a_message_without_a_migration_is_kept_all_the_same(receiver: CallbackReceiver) -> None:
    assert deliver(receiver.url, body="[]").outcome == "delivered"
    assert [each.migration_id for each in receiver.deliveries()] == [""]
