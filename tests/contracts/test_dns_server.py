"""The local DNS server, asked over UDP and TCP."""

import socket
import struct
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from localcloud.dns import Answer, DnsServer

SOA = "ns.example.internal. hostmaster.example.internal. 1 7200 900 1209600 60"
MANY = tuple((60, f"127.1.{index // 250}.{index % 250}") for index in range(400))
RECORDS = {
    ("billing.example.internal", "A"): ((60, "127.1.1.2"), (60, "127.1.1.1")),
    ("many.example.internal", "A"): MANY,
}


def lookup(name: str, rdtype: str) -> Answer | None:
    if not f".{name}".endswith(".example.internal"):
        return None
    if name == "broken.example.internal":
        raise RuntimeError("a mistake in the lookup")
    if name == "www.example.internal":
        return Answer("example.internal", SOA, "CNAME", ((300, "billing.example.internal."),), exists=True)
    exists = any(name == known for known, _ in RECORDS)
    return Answer("example.internal", SOA, rdtype, RECORDS.get((name, rdtype), ()), exists=exists)


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    server = DnsServer(lookup)
    server.start()
    yield server
    server.stop()


def place(server: DnsServer) -> tuple[str, int]:
    host, port = server.address.split(":")
    return host, int(port)


def ask(server: DnsServer, name: str, rdtype: str = "A") -> dns.message.Message:
    host, port = place(server)
    return dns.query.udp(dns.message.make_query(name, rdtype), host, port=port, timeout=5)


def test_an_answer_has_authority_and_every_value_with_its_ttl(server: DnsServer) -> None:
    reply = ask(server, "Billing.Example.Internal.")
    assert reply.flags & dns.flags.AA
    assert not reply.flags & dns.flags.RA
    assert sorted(rdata.to_text() for rdata in reply.answer[0]) == ["127.1.1.1", "127.1.1.2"]
    assert reply.answer[0].ttl == 60


def test_tcp_gives_the_same_answer_and_takes_a_second_question_on_the_connection(server: DnsServer) -> None:
    with socket.create_connection(place(server), timeout=5) as connection:
        for _ in range(2):
            question = dns.message.make_query("billing.example.internal.", "A")
            dns.query.send_tcp(connection, question)
            reply, _ = dns.query.receive_tcp(connection)
            assert question.is_response(reply)
            assert len(reply.answer[0]) == 2


def test_a_name_without_that_type_is_nodata_with_the_start_of_authority(server: DnsServer) -> None:
    reply = ask(server, "billing.example.internal.", "AAAA")
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer
    assert (reply.authority[0].rdtype, reply.authority[0].ttl) == (dns.rdatatype.SOA, 60)


def test_an_unknown_name_in_the_zone_is_nxdomain_with_authority(server: DnsServer) -> None:
    reply = ask(server, "nobody.example.internal.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.flags & dns.flags.AA
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_a_name_outside_its_zones_is_refused_without_authority(server: DnsServer) -> None:
    reply = ask(server, "example.com.")
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA


def test_an_alias_is_answered_with_its_cname_and_not_followed(server: DnsServer) -> None:
    reply = ask(server, "www.example.internal.")
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.CNAME]
    assert reply.answer[0][0].to_text() == "billing.example.internal."


def test_an_answer_too_long_for_udp_is_truncated_and_whole_over_tcp(server: DnsServer) -> None:
    host, port = place(server)
    question = dns.message.make_query("many.example.internal.", "A")
    reply = dns.query.udp(question, host, port=port, timeout=5)
    assert reply.flags & dns.flags.TC
    whole, used_tcp = dns.query.udp_with_fallback(question, host, port=port, timeout=5)
    assert used_tcp
    assert len(whole.answer[0]) == len(MANY)


def test_a_mistake_in_the_lookup_is_servfail(server: DnsServer) -> None:
    assert ask(server, "broken.example.internal.").rcode() == dns.rcode.SERVFAIL
    assert ask(server, "billing.example.internal.").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("rdtype", ["ANY", "AXFR"])
def test_what_is_no_question_for_data_is_not_implemented(server: DnsServer, rdtype: str) -> None:
    assert ask(server, "example.internal.", rdtype).rcode() == dns.rcode.NOTIMP


def test_another_opcode_is_not_implemented(server: DnsServer) -> None:
    host, port = place(server)
    question = dns.message.make_query("billing.example.internal.", "A")
    question.set_opcode(dns.opcode.STATUS)
    assert dns.query.udp(question, host, port=port, timeout=5).rcode() == dns.rcode.NOTIMP


def test_what_cannot_be_parsed_is_a_format_error_with_its_id(server: DnsServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"short", place(server))
        client.sendto(struct.pack("!HHHHHH", 4711, 0, 1, 0, 0, 0) + b"\xff\xff\xff", place(server))
        reply = dns.message.from_wire(client.recv(512))
    assert (reply.id, reply.rcode()) == (4711, dns.rcode.FORMERR)


def test_a_stopped_server_frees_its_port() -> None:
    first = DnsServer(lookup)
    first.start()
    host, port = place(first)
    first.stop()
    second = DnsServer(lookup, host=host, port=port)
    second.start()
    assert len(ask(second, "billing.example.internal.").answer[0]) == 2
    second.stop()


def test_a_port_in_use_is_said_and_leaves_no_thread_behind(server: DnsServer) -> None:
    host, port = place(server)
    second = DnsServer(lookup, host=host, port=port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    assert not second._thread.is_alive()
