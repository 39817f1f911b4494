"""Where callbacks may go: every form of every address that is not a public one, and what the settings let pass."""

import threading
import time
from contextlib import suppress
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.callback_guard import CallbackGuard, Refused, Unresolved
from migration.errors import ValidationError

WITHIN = timedelta(seconds=5)
HOST = "hooks.example.com"
URL = f"https://{HOST}/migrations"

# IANA's special-purpose address registries: what is not for a single machine that everybody reaches.
SPECIAL_4 = [
    *map(ip_network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12")),
    *map(ip_network, ("192.0.0.0/29", "192.0.0.170/31", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15")),
    *map(ip_network, ("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")),
]
SPECIAL_6 = [
    *map(ip_network, ("::/128", "::1/128", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48")),
    *map(ip_network, ("2001:db8::/32", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")),
]
METADATA = ["169.254.169.254", "fd00:ec2::254"]
PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]


def in_network(network: IPv4Network | IPv6Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    numbers = st.integers(int(network.network_address), int(network.broadcast_address))
    return numbers.map(IPv4Address if network.version == 4 else IPv6Address)


special_4 = st.sampled_from(SPECIAL_4).flatmap(in_network)
special = st.sampled_from(SPECIAL_4 + SPECIAL_6).flatmap(in_network)
any_4 = st.integers(0, 2**32 - 1).map(IPv4Address)
any_6 = st.integers(0, 2**128 - 1).map(IPv6Address)


def wrapped(address: IPv4Address) -> list[IPv6Address]:
    """The IPv6 addresses that lead to an IPv4 address: mapped, by NAT64, by 6to4."""
    number = int(address)
    return [
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


def leads_to(*addresses: object, allow: list[str] | None = None) -> tuple[str, ...]:
    """Where the callback URL leads when its host has these addresses."""
    guard = CallbackGuard.allowing(allow or [], look_up=lambda _: [str(address) for address in addresses])
    return guard.addresses(URL, WITHIN)


def no_look_up(host: str) -> list[str]:
    pytest.fail(f"{host} was looked up")


def as_literal(address: object, scheme: str = "https") -> str:
    return f"{scheme}://[{address}]/" if ":" in str(address) else f"{scheme}://{address}/"


# --- addresses ---------------------------------------------------------------------------------------------------


@given(special)
@example(ip_address(METADATA[0]))
@example(ip_address(METADATA[1]))
def test_a_name_with_an_address_that_is_not_public_is_refused(address: IPv4Address | IPv6Address) -> None:
    with pytest.raises(Refused, match=f"{HOST} is at "):
        leads_to(address)
    with pytest.raises(Refused):
        leads_to(PUBLIC[0], address)


@given(special)
def test_an_address_that_is_not_public_is_refused_in_a_url(address: IPv4Address | IPv6Address) -> None:
    with pytest.raises(Refused):
        CallbackGuard(look_up=no_look_up).addresses(as_literal(address), WITHIN)


@given(special_4)
@example(IPv4Address(METADATA[0]))
def test_an_address_that_is_not_public_is_refused_however_it_is_wrapped(address: IPv4Address) -> None:
    for outer in wrapped(address):
        with pytest.raises(Refused):
            leads_to(outer)


@given(any_4)
def test_an_ipv4_address_is_refused_when_it_is_special_and_only_then(address: IPv4Address) -> None:
    is_special = any(address in network for network in SPECIAL_4)
    for outer in (address, *wrapped(address)):
        if is_special:
            with pytest.raises(Refused):
                leads_to(outer)
        else:
            assert leads_to(outer) == (str(outer),)


@given(any_6)
def test_an_ipv6_address_outside_global_unicast_is_refused(address: IPv6Address) -> None:
    if address in IPv6Network("2000::/3") or address in IPv6Network("64:ff9b::/96") or address.ipv4_mapped:
        return
    with pytest.raises(Refused):
        leads_to(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert leads_to(address) == (address,)
    assert CallbackGuard(look_up=no_look_up).addresses(as_literal(address), WITHIN) == (address,)


def test_an_address_with_a_zone_is_refused() -> None:
    with pytest.raises(Refused):
        leads_to("fe80::1%eth0")
    for url in ("https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/"):
        with pytest.raises(Refused):
            CallbackGuard(look_up=no_look_up).addresses(url, WITHIN)


# --- forms -------------------------------------------------------------------------------------------------------


def odd_forms(address: IPv4Address) -> list[str]:
    """How inet_aton reads an IPv4 address besides four decimal numbers."""
    number, parts = int(address), address.packed
    return [
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(map(hex, parts)),
        ".".join(f"0{part:03o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{parts[0]}.{parts[1]}.{hex(number & 0xFFFF)}",
        f"{address}.",
    ]


@given(any_4)
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("0.0.0.0"))
def test_an_ipv4_address_in_an_odd_form_is_refused_before_anybody_resolves_it(address: IPv4Address) -> None:
    for host in odd_forms(address):
        with pytest.raises(Refused):
            CallbackGuard.allowing(["0.0.0.0/0"], look_up=no_look_up).addresses(f"https://{host}/", WITHIN)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "http://127.0.0.1.example.com/",
        "http://[::2]/",
        "ftp://127.0.0.1/x",
        "https://user:secret@hooks.example.com/x",
        "https://@hooks.example.com/x",
        "https://hooks.example.com#@10.0.0.1/",
        "https://hooks.example.com\\@10.0.0.1/",
        "https://hooks.example.com./",
        "https://h\N{LATIN SMALL LETTER O WITH DIAERESIS}ks.example.com/",
        "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/",
        "https://10\N{IDEOGRAPHIC FULL STOP}0.0.1/",
        "https://hooks.example.com\n/",
        "https:///x",
        "/x",
        "",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:0/",
        "https://[::1/",
    ],
)
def test_a_url_of_another_form_is_refused_before_anybody_resolves_it(url: str) -> None:
    with pytest.raises(Refused):
        CallbackGuard.allowing(["0.0.0.0/0", "::/0"], look_up=no_look_up).addresses(url, WITHIN)


@given(st.one_of(st.text(max_size=80), st.text(max_size=60).map(lambda host: f"https://{host}/x")))
def test_whatever_is_given_is_answered(url: str) -> None:
    guard = CallbackGuard(look_up=lambda _: PUBLIC)
    with suppress(Refused):
        assert guard.addresses(url, WITHIN)


# --- what the settings allow -------------------------------------------------------------------------------------


@given(special_4)
def test_a_network_that_is_allowed_may_be_called_also_when_it_is_wrapped(address: IPv4Address) -> None:
    for outer in (address, *wrapped(address)):
        assert leads_to(outer, allow=[f"{address}/32"]) == (str(outer),)


@given(special)
def test_a_host_that_is_allowed_may_have_any_address(address: IPv4Address | IPv6Address) -> None:
    assert leads_to(address, allow=["Hooks.Example.com"]) == (str(address),)
    with pytest.raises(Refused):
        leads_to(address, allow=["example.com"])


def test_what_is_allowed_does_not_help_the_next_address() -> None:
    assert leads_to("10.1.2.3", allow=["10.1.0.0/16"]) == ("10.1.2.3",)
    with pytest.raises(Refused, match=r"10\.2\.0\.1, a private address, and the setting callback_allow does not name"):
        leads_to("10.1.2.3", "10.2.0.1", allow=["10.1.0.0/16"])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.16.0.1", "::1"])
def test_plain_http_is_for_loopback_addresses_that_are_allowed(address: str) -> None:
    url = as_literal(address, "http")
    assert CallbackGuard.allowing(["127.0.0.0/8", "::1"]).addresses(url, WITHIN) == (address,)
    with pytest.raises(Refused, match="a loopback address"):
        CallbackGuard().addresses(url, WITHIN)


def test_plain_http_goes_nowhere_else_whatever_localhost_is() -> None:
    guard = CallbackGuard.allowing(["localhost"], look_up=lambda _: ["127.0.0.1", "10.0.0.1"])
    with pytest.raises(Refused, match=r"http to 10\.0\.0\.1: callbacks go over https"):
        guard.addresses("http://localhost/", WITHIN)


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.1/8", "https://hooks.example.com/", "*.example.com", "example.com.", "10.0", "0x7f.1", "a b"]
)
def test_a_setting_that_is_neither_host_nor_network_is_said(entry: str) -> None:
    with pytest.raises(ValidationError, match="callback_allow"):
        CallbackGuard.allowing([entry])


# --- looking up --------------------------------------------------------------------------------------------------


def test_a_host_is_looked_up_once_and_its_addresses_are_tried_in_their_order() -> None:
    asked: list[str] = []

    def look_up(host: str) -> list[str]:
        asked.append(host)
        return [PUBLIC[1], PUBLIC[0], PUBLIC[1]]

    guard = CallbackGuard(look_up=look_up)
    assert guard.addresses("https://HOOKS.example.com:8443/x", WITHIN) == (PUBLIC[1], PUBLIC[0])
    assert asked == [HOST]


def test_a_host_without_an_address_is_not_known_yet() -> None:
    with pytest.raises(Unresolved, match=f"{HOST} has no address"):
        leads_to()


def test_a_name_server_that_stays_silent_is_given_up_in_time() -> None:
    answered = threading.Event()

    def look_up(_: str) -> list[str]:
        answered.wait(10)
        return PUBLIC

    guard = CallbackGuard(look_up=look_up)
    began = time.monotonic()
    with pytest.raises(Unresolved, match=r"cannot be resolved within 0\.2 s"):
        guard.addresses(URL, timedelta(seconds=0.2))
    assert time.monotonic() - began < 5
    answered.set()


def test_a_name_that_nobody_has_is_said_in_words() -> None:
    with pytest.raises(Unresolved, match=r"nobody\.invalid cannot be resolved: "):
        CallbackGuard().addresses("https://nobody.invalid/", timedelta(seconds=30))
