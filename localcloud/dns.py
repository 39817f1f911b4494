"""A small authoritative DNS server: dnspython messages over UDP and TCP (RFC 1035, 2308, 7766)."""

import asyncio
import contextlib
import logging
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_LOG = logging.getLogger(__name__)
_HEADER_BYTES = 12
_PLAIN_UDP_BYTES = 512
_LARGEST_UDP_BYTES = 1232  # what fits every path without fragments (DNS flag day 2020)
_LARGEST_MESSAGE = 65535
_IDLE_SECONDS = 10.0
_PATIENCE_SECONDS = 5.0
_BIND_TRIES = 20
_NOT_DATA = {dns.rdatatype.ANY, dns.rdatatype.AXFR, dns.rdatatype.IXFR}


@dataclass(frozen=True)
class Answer:
    """What a zone says of a name and type.

    Attributes:
        zone: The zone's name.
        soa: Its start of authority, as text; its last number is the TTL of negative answers.
        type: The type of `records`: the one asked for, or CNAME when the name is an alias.
        records: (TTL in seconds, rdata as text); empty when the name has none of that type.
        exists: Whether the name exists: with no records it is NODATA, else NXDOMAIN.
    """

    zone: str
    soa: str
    type: str
    records: tuple[tuple[int, str], ...]
    exists: bool


Lookup = Callable[[str, str], Answer | None]


class DnsServer:
    """Answers with authority from a lookup, REFUSED where the lookup knows no zone."""

    def __init__(self, lookup: Lookup, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Keep the lookup, which takes a lower-case name without final dot and a type, in the server's own thread."""
        self._lookup = lookup
        self._host = host
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dns", daemon=True)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    def start(self) -> None:
        """Listen on UDP and TCP, on one port for both.

        Raises:
            OSError: The port, or any with port 0, cannot be had for both.
        """
        self._thread.start()
        try:
            self._run(self._listen())
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening and end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()

    @property
    def address(self) -> str:
        """`ADDRESS:PORT` of both. Raises `RuntimeError` before `start`."""
        if not self._udp:
            raise RuntimeError("not started")
        return f"{self._host}:{self._port}"

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    async def _listen(self) -> None:
        for tries_left in reversed(range(1 if self._port else _BIND_TRIES)):
            try:
                self._tcp = await asyncio.start_server(self._converse, self._host, self._port)
                port = self._tcp.sockets[0].getsockname()[1]
                self._udp, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._lookup), local_addr=(self._host, port)
                )
            except OSError:
                await self._close()
                if not tries_left:
                    raise
            else:
                self._port = port
                return

    async def _close(self) -> None:
        if self._tcp:
            self._tcp.close()
        if self._udp:
            self._udp.close()
        conversations = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        self._tcp = self._udp = None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    reply = respond(await reader.readexactly(length), self._lookup, udp=False)
                if reply is None:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: CPython's own datagram transport is no subclass of it before 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        reply = respond(data, self._lookup, udp=True)
        if reply is not None and self._transport:
            self._transport.sendto(reply, addr)


def respond(wire: bytes, lookup: Lookup, *, udp: bool) -> bytes | None:
    """The reply to one message as bytes; None for what deserves none: too short, or itself a reply."""
    if len(wire) < _HEADER_BYTES or wire[2] & 0x80:
        return None
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return _malformed(wire)
    response = dns.message.make_response(query, our_payload=_LARGEST_UDP_BYTES)
    _fill(response, query, lookup)
    limit = min(query.payload, _LARGEST_UDP_BYTES) if query.edns >= 0 else _PLAIN_UDP_BYTES
    limit = max(limit, _PLAIN_UDP_BYTES) if udp else _LARGEST_MESSAGE
    return response.to_wire(max_size=limit, prefer_truncation=True)


def _malformed(wire: bytes) -> bytes:
    """FORMERR with the query's id and opcode, and nothing else of it."""
    flags = dns.flags.QR | (wire[2] & 0x78) << 8
    return wire[:2] + struct.pack("!HHHHH", flags | dns.rcode.FORMERR, 0, 0, 0, 0)


def _fill(response: dns.message.Message, query: dns.message.Message, lookup: Lookup) -> None:
    problem = _problem_with(query)
    if problem is not None:
        response.set_rcode(problem)
        return
    question = query.question[0]
    name = question.name.to_text(omit_final_dot=True).lower()
    try:
        answer = lookup(name, dns.rdatatype.to_text(question.rdtype))
        if answer is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        _add(response, question.name, answer)
    except Exception:  # noqa: BLE001  SERVFAIL is how DNS says that the server, not the question, is at fault
        _LOG.exception("no answer for %s", name)
        response.set_rcode(dns.rcode.SERVFAIL)


def _problem_with(query: dns.message.Message) -> dns.rcode.Rcode | None:
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    if query.edns > 0:
        return dns.rcode.BADVERS
    if query.question[0].rdclass != dns.rdataclass.IN:
        return dns.rcode.REFUSED
    return dns.rcode.NOTIMP if query.question[0].rdtype in _NOT_DATA else None


def _add(response: dns.message.Message, name: dns.name.Name, answer: Answer) -> None:
    response.flags |= dns.flags.AA
    if answer.records:
        ttl = answer.records[0][0]
        values = [value for _, value in answer.records]
        # Names in values are absolute, with or without the final dot, as Route 53 takes them.
        response.answer.append(
            dns.rrset.from_text_list(name, ttl, "IN", answer.type, values, origin=dns.name.root, relativize=False)
        )
        return
    if not answer.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    negative_ttl = int(answer.soa.split()[-1])
    response.authority.append(dns.rrset.from_text(f"{answer.zone}.", negative_ttl, "IN", "SOA", answer.soa))
