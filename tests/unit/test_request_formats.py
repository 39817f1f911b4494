"""The formats of single values, through the whole parser."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from migration.formats import format_duration, format_timestamp, parse_duration, parse_timestamp
from migration.json_text import json_path, shown
from migration.parsing import RequestErrors, parse_request
from migration.schema import request_schema
from tests.corpus_cases import good

URL = "http://{privateIp}:8080/health"

REFUSED: dict[str, tuple[Any, ...]] = {
    "migrationId": (
        "mig-a",
        "mig-" + "a" * 61,
        "mig--billing",
        "billing-1",
        "mig-bil ling",
        "mig-billing-\u0661",
        "mig-b1\n",
    ),
    "waveId": ("wave-", "wave-07\n", "wave-A", "wave-" + "a" * 60),
    "appName": ("", "a" * 65, "büro", "billing\n", "a/b"),
    "requestedBy": ("", " requester@example.com", "requester@example.com\n", "a" * 255),
    "correlationId": ("", "a b", "c" * 129, "é"),
    "target.accountId": ("12345678901", "1234567890123", "12345678901a", "\uff11" * 12, "123456789012\n"),
    "target.region": ("eu-central-1a", "EU-CENTRAL-1", "frankfurt", "eu-central", "eu-central-1\n"),
    "target.subnetId": ("sub-0a1b2c3d", "subnet-0a1b2c3g", "subnet-0a1b2c3", "subnet-0A1B2C3D", "subnet-0a1b2c3d\n"),
    "target.roleArn": ("migrator", "arn:aws:iam::123456789012:user/migrator", "arn:aws:iam::12:role/migrator"),
    "target.instanceType": ("large", "M5.large", "m5.", "m5.large\n"),
    "target.instanceProfile": ("", "arn:aws:iam::123456789012:role/x", "a b"),
    "replication.kmsKeyId": ("", "my key", "1234", "alias/", "arn:aws:kms:eu-central-1:123456789012:alias"),
    "source.connection": ("", "-vcenter", "v" * 64, "vcenter 1"),
    "source.servers.0.address": (
        "billing",
        "10.1.0.011",
        "10.1.0.256",
        "10.1.0.0/16",
        "fe80::1%eth0",
        "1:2:3",
        167837707,
    ),
    "source.servers.0.name": (
        "",
        "web 01",
        "web_01",
        "web-",
        "-web",
        "a" * 64,
        "web.",
        "web..a",
        ".".join(["a" * 60] * 5),
    ),
    "source.servers.0.ssmInstanceId": ("i-0123456789abcdef0", "mi-0123", "mi-0123456789abcdef0\n"),
    "source.servers.0.launch.privateIp": ("dhcp", "AUTO", "10.1.0.999", ""),
    "replication.maxLag": (
        *(
            "",
            "P",
            "PT",
            "P1DT",
            "-PT5M",
            "PT-5M",
            "+PT5M",
            "P1M",
            "P1Y",
            "P1Y2M",
            "P1W2D",
            "P0.5D",
            "PT0.5M",
            "PT5S1M",
        ),
        *("00:05:00", "5 minutes", "300", 300, "pt5m", "PT5M\n", " PT5M", "P3661D", "P99999999999D"),
        *("PT" + "9" * 1000 + "S", "PT1,5S", "PT1.1234567S"),
    ),
    "cutoverWindow.notBefore": (
        *("2026-11-28", "2026-11-28T20:00:00", "2026-11-28 20:00:00Z", "2026-11-28T20:00Z", "2026-11-28t20:00:00z"),
        *("2026-02-30T20:00:00Z", "2026-13-01T20:00:00Z", "2026-11-28T24:00:00Z", "2026-11-28T23:59:60Z"),
        *("2026-11-28T20:00:00+01", "2026-11-28T20:00:00+0100", "2026-11-28T20:00:00+24:00", 1795896000),
        *("2026-11-28T20:00:00Z\n", "0001-01-01T00:00:00+01:00", "20261128T200000Z", "2026-W48-6T20:00:00Z"),
    ),
    "callbackUrl": (
        *("http://hooks.example.com/", "https://u:hunter2@hooks.example.com/", "/hooks", "https:///hooks", "https:x"),
        *("ftp://hooks.example.com/", "https://hooks.example.com/#x", "https://hooks.example.com/a b", "https://[zz]/"),
        *("https://hooks.example.com:99999/", "https://hooks.example.com:0/", "http://127.0.0.1.example.com/"),
        *(
            "http://127.0.0.999/",
            "HTTPS://hooks.example.com/",
            "https://hooks.example.com/\n",
            "https://büro.example.com/",
        ),
        *("https://-hooks-.example.com/", "http://localhost.example.com/", "http://10.0.0.1/", "https://" + "a" * 2050),
    ),
    "callbackSecret": ("hunter2", "vault:x", "env:", "env:SECRET\n", "secretsmanager:", "env:A B", "env:1A"),
    "healthChecks.0.url": (
        *(
            "ftp://{privateIp}/",
            "http://a:b@{privateIp}/",
            "http://{publicIp}/",
            "http:///health",
            "/health",
            "http://",
        ),
        *("http://{privateIp}:0/", "http://{privateIp}:99999/", "http://{privateIp}/{x}", "http://[10.0.0.1]/"),
        *("http://10.2.0.5/", "http://localhost/", "https://billing.example.internal/", "http://x@{privateIp}/"),
        *("http://{privateIp}.example.com/", "http://169.254.169.254/", "http://{privateIp}@example.com/"),
    ),
    "healthChecks.0.expectBodyPattern": ("", "(", "a" * 257, "(?=ok)", r"(a)\1", "(a{50}){50}", "a{1000}", "a{101,}"),
    "healthChecks.0.expectBody": ("", " ok", "two\nlines", "a" * 1025),
    "healthChecks.0.tls.ca": ("", "ca.pem", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA"),
    "healthChecks.0.tls.serverName": ("", "*.example.com", "billing.", "a_b"),
    "healthChecks.0.tls.verify": ("false", 0, None),
    "healthChecks.0.headers.Accept": ("", " a", "a\r\nb", "é", "a" * 513, 1),
    "healthChecks.0.expectStatus": (99, 600, "200", 200.0, None),
    "dns.0.ttl": (-1, 2147483648, "60", True),
    "dns.0.zone": ("", "example.internal.", "*.internal", "_x.internal"),
    "dns.0.zoneId": ("/hostedzone/Z1", "", "z2fdtndataqyw2"),
}
CASES = [(field, value) for field, values in REFUSED.items() for value in values]


def with_value(field: str, value: Any) -> bytes:
    """Write the full example with one value replaced."""
    document = good("full")
    place: Any = document
    *parents, last = [int(part) if part.isdigit() else part for part in field.split(".")]
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(("field", "value"), CASES)
def test_a_value_of_another_format_is_refused_at_its_path(field: str, value: Any) -> None:
    with pytest.raises(RequestErrors) as refused:
        parse_request(with_value(field, value))
    assert f"$.{field}".replace(".0", "[0]") in [error.path for error in refused.value.errors]


@pytest.mark.parametrize(
    ("text", "duration", "canonical"),
    [
        ("P2W", timedelta(days=14), "P14D"),
        ("P2D", timedelta(days=2), "P2D"),
        ("P0D", timedelta(0), "PT0S"),
        ("PT36H", timedelta(hours=36), "P1DT12H"),
        ("PT90M", timedelta(minutes=90), "PT1H30M"),
        ("PT1H1S", timedelta(seconds=3601), "PT1H1S"),
        ("PT0.25S", timedelta(milliseconds=250), "PT0.25S"),
        ("P1DT2H3M4.000005S", timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5), "P1DT2H3M4.000005S"),
        ("P3660D", timedelta(days=3660), "P3660D"),
    ],
)
def test_a_duration_is_read_and_written_canonically(text: str, duration: timedelta, canonical: str) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == canonical
    assert parse_duration(canonical) == duration


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-11-28T20:00:00Z", "2026-11-28T20:00:00Z"),
        ("2026-11-28T22:00:00+02:00", "2026-11-28T20:00:00Z"),
        ("2026-11-28T00:30:00.5-05:30", "2026-11-28T06:00:00.500000Z"),
    ],
)
def test_a_time_is_read_with_its_offset_and_written_in_utc(text: str, canonical: str) -> None:
    moment = parse_timestamp(text)
    assert moment.tzinfo is UTC
    assert format_timestamp(moment) == canonical


def test_a_time_without_an_offset_is_no_time() -> None:
    with pytest.raises(ValueError, match="2026-11-28T20:00:00"):
        parse_timestamp("2026-11-28T20:00:00")


def test_names_and_addresses_are_kept_in_one_spelling() -> None:
    request = parse_request(with_value("source.servers.0.address", "2001:DB8:0:0::11"))
    assert request.servers[0].address == "2001:db8::11"
    request = parse_request(with_value("dns.0.name", "Billing.EXAMPLE.internal"))
    assert request.dns[0].name == "billing.example.internal"


def test_times_are_aware_datetimes_and_durations_timedeltas() -> None:
    request = parse_request(with_value("appName", "billing"))
    assert request.cutover_window is not None
    assert request.cutover_window.not_before == datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert request.soak.for_ == timedelta(days=2)


@pytest.mark.parametrize("key", ["", "aws:name", "AWS:name", "migrator:mark", "Migrator:x", "a" * 129, "a\nb", "a\n"])
def test_a_tag_key_of_somebody_else_or_none_is_refused(key: str) -> None:
    document = good("full")
    document["target"]["tags"] = {key: "x"}
    with pytest.raises(RequestErrors) as refused:
        parse_request(json.dumps(document))
    assert [(error.path, error.found) for error in refused.value.errors] == [
        (json_path(("target", "tags", key)), shown((), key))
    ]
    assert not Draft202012Validator(request_schema()).is_valid(document)
