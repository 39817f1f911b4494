"""Log lines: one JSON object each, findable by migration, and without secrets."""

import io
import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from migration.redaction import redact_text

SECRETS = {
    "a webhook secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "an access key": "AKIAIOSFODNN7EXAMPLE",
    "a temporary access key": "ASIAIOSFODNN7EXAMPLE",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "user and password of a URL": "https://operator:hunter2@vcenter.example.internal/sdk",
    "a password of a query": "GET /session?user=operator&password=hunter2&page=1",
    "a header": "Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA",
    "a signed URL": "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c26",
    "a URL with a password and no user": "redis://:hunter2@cache.example.internal",
    "a header as JSON": '{"Authorization": "Basic aHVudGVyMjpodW50ZXIy"}',
    "credentials of a header alone": "sent Basic aHVudGVyMjpodW50ZXIy to it",
    "a session token": f"IQoJb3JpZ2luX2VjE{'hunter2x' * 8}",
    "a session token by its name": "AWS_SESSION_TOKEN=hunter2/hunter2+x",
    "a secret key by its name": 'aws_secret_access_key = "hunter2/K7MDENG/bPxRfiCYEXAMPLEKEY"',
    "a vCenter's cookie": 'Cookie: vmware_soap_session="hunter2-b33f"; Path=/; HttpOnly',
    "a vCenter's session": "vmware-api-session-id: hunter2b33f",
    "a password of JSON in JSON": r'{"detail": "{\"password\": \"hunter2\"}"}',
    "a password of JSON": '{"user": "migrator", "password": "hunter2"}',
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
}
TELLING = (
    "aHVudGVyMj",
    "whsec_M",
    "IOSFODNN7",
    "eyJzdWIi",
    "hunter2",
    "2YotnFZFEjr1z",
    "aeeed9bbccd4d",
    "MIIEpAIBAAKCAQEA",
)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def stumble(words: str) -> None:
    raise ValueError(words)


def test_each_line_is_one_json_object_that_says_when_who_and_how_bad(stream: io.StringIO) -> None:
    structlog.get_logger("activity").info("activity started", server="billing-web-01", took=1.5)
    logging.getLogger("temporalio.worker").warning("could not %s\nafter %d tries", "connect", 3)
    ours, theirs = lines(stream)
    assert (ours["event"], ours["level"], ours["logger"]) == ("activity started", "info", "activity")
    assert (ours["server"], ours["took"]) == ("billing-web-01", 1.5)
    assert (theirs["event"], theirs["level"]) == ("could not connect\nafter 3 tries", "warning")
    assert theirs["logger"] == "temporalio.worker"
    for line in (ours, theirs):
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is UTC


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger("activity").debug("a detail")
    logging.getLogger("migration").debug("a detail")
    logging.getLogger("botocore.auth").info("a vendor's detail")
    assert lines(stream) == []


def test_an_exception_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        stumble("no such subnet")
    except ValueError:
        structlog.get_logger("activity").exception("activity ended")
        logging.getLogger("temporalio.worker").exception("activity failed")
    ours, theirs = lines(stream)
    for line in (ours, theirs):
        assert "ValueError: no such subnet" in line["exception"]
        assert "Traceback" in line["exception"]


def test_what_is_bound_to_the_context_is_on_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(migration_id="mig-billing-1", correlation_id="corr-1", step="test"):
        structlog.get_logger("activity").info("activity started")
        logging.getLogger("adapters.aws").info("a vendor's line")
    structlog.get_logger("activity").info("outside")
    *inside, outside = lines(stream)
    for line in inside:
        assert (line["migration_id"], line["correlation_id"], line["step"]) == ("mig-billing-1", "corr-1", "test")
    assert "migration_id" not in outside


def test_workflow_and_activity_lines_name_the_migration_alike(stream: io.StringIO) -> None:
    in_workflow = {"workflow_id": "mig-billing-1", "run_id": "run-1", "attempt": 1, "task_queue": "migrations"}
    in_activity = {"workflow_id": "mig-billing-1", "workflow_run_id": "run-1", "attempt": 2, "activity_id": "7"}
    in_activity["activity_type"] = "start_test"
    logging.getLogger("temporalio.workflow").info("refused", extra={"temporal_workflow": in_workflow, "decision": "x"})
    logging.getLogger("temporalio.activity").info("retrying", extra={"temporal_activity": in_activity})
    of_workflow, of_activity = lines(stream)
    for line in (of_workflow, of_activity):
        assert (line["migration_id"], line["run_id"]) == ("mig-billing-1", "run-1")
        assert not {"temporal_workflow", "temporal_activity"} & line.keys()
    assert of_workflow["decision"] == "x"
    assert (of_activity["activity"], of_activity["attempt"]) == ("start_test", 2)


# --- secrets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_known_by_its_shape(kind: str) -> None:
    text = redact_text(f"before {SECRETS[kind]}\nafter")
    assert "[redacted]" in text
    assert not any(telling in text for telling in TELLING)
    assert text.startswith("before ")
    assert text.endswith("\nafter")


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_taken_out_wherever_it_stands(stream: io.StringIO, kind: str) -> None:
    secret = SECRETS[kind]
    logger = structlog.get_logger("activity")
    logger.info(secret)
    logger.info("nested", answer={"deep": [{"er": secret}], "tuple": (secret,)})
    logger.info("an object", error=ValueError(secret))
    logging.getLogger("httpx").warning("called %s", secret)
    try:
        stumble(secret)
    except ValueError:
        logger.exception("failed")
    written = stream.getvalue()
    assert len(lines(stream)) == 5
    assert not any(telling in written for telling in TELLING)


@pytest.mark.parametrize(
    "key",
    [
        *("password", "db_password", "passwd", "callbackSecret", "session_token", "Authorization", "api_key", "apiKey"),
        *(
            "webhook-signature",
            "aws_credentials",
            "Set-Cookie",
            "vmware-api-session-id",
            "private_key",
            "privateKey",
            "passphrase",
        ),
    ],
)
def test_a_secret_is_known_by_its_name(stream: io.StringIO, key: str) -> None:
    structlog.get_logger("activity").info("settings", **{key: "hunter2", "inner": {key: "hunter2"}})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0]["inner"] == {key: "[redacted]"}


@pytest.mark.parametrize(
    "words",
    [
        "set callbackSecret to secretsmanager:migrator/callback",
        "password: secretsmanager:migrator/vcenter",
        "the password has expired: ask for another one",
        "Correct the user name and password of this vCenter connection",
        "evidence 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "next token of the page is empty",
        "https://sqs.eu-central-1.amazonaws.com/123456789012/migrator-requests",
        "ServiceNow wants basic authentication",
    ],
)
def test_words_about_secrets_are_no_secrets(words: str) -> None:
    assert redact_text(words) == words


def test_a_long_text_is_searched_in_no_time() -> None:
    began = time.process_time()
    for text in ("pass" * 50_000, "?" + "token" * 50_000, "a.b-c" * 50_000, "eyJ" * 50_000, "password" + " " * 200_000):
        redact_text(text)
    assert time.process_time() - began < 5


# --- hostile content ---------------------------------------------------------------------------------------------


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


HOSTILE = {
    "line ends": "first\nsecond\r\nthird",
    "a line of its own": '\n{"event": "request taken", "level": "info"}',
    "NUL": "a\0b",
    "terminal control": "\x1b[2Jgone",
    "right to left": "\u202etxt.exe",
    "line ends of Unicode": "a\u2028b\u2029c\x85d",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_stays_on_its_line_as_plain_ascii(stream: io.StringIO, kind: str) -> None:
    text = HOSTILE[kind]
    structlog.get_logger("ingress").warning(text, server=text, nested={text: [text]})
    logging.getLogger("httpx").warning("called %s", text)
    written = stream.getvalue()
    assert written.isascii()
    assert not [one for one in written if ord(one) < 32 and one != "\n"]
    ours, theirs = lines(stream)
    assert (ours["event"], ours["server"], ours["nested"]) == (text, text, {text: [text]})
    assert theirs["event"] == f"called {text}"


def test_what_json_does_not_know_is_shown_all_the_same(stream: io.StringIO) -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    structlog.get_logger("activity").info(
        "odd values",
        bytes=b"\xff",
        number=float("nan"),
        keys={1: "one", (2, 3): "two", None: "none"},
        unshowable=Unshowable(),
        endless=endless,
        many={"b"},
    )
    (line,) = lines(stream)
    assert (line["bytes"], line["number"], line["many"]) == ("b'\\xff'", "nan", "{'b'}")
    assert line["keys"] == {"1": "one", "(2, 3)": "two", "None": "none"}
    assert line["unshowable"] == "<Unshowable that cannot be shown: RuntimeError>"
    assert "…" in json.dumps(line["endless"], ensure_ascii=False)


def test_what_is_no_secret_is_left_as_it_is(stream: io.StringIO) -> None:
    words = {
        "instance": "i-0123456789abcdef0",
        "mark": "mig-billing-1/1/cutover/1",
        "url": "https://hooks.example.com/migrations?page=2",
        "reference": 17,
        "at": ["2026-11-28T20:00:00Z", None, True],
    }
    structlog.get_logger("activity").info("password expired", **words)
    (line,) = lines(stream)
    assert line["event"] == "password expired"
    assert {key: line[key] for key in words} == words
