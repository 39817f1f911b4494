"""How Temporal is reached, by real TLS: a server behind a proxy that ends it, and an authority of the test's own."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from temporalio.client import Client
from typer.testing import CliRunner

from migration.errors import MigrationError, PrerequisiteError, Unavailable
from migration.settings import Settings
from starter.cli import app
from starter.client import connect
from starter.connection import connection, in_words

pytestmark = pytest.mark.asyncio(loop_scope="module")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Site:
    """A Temporal server, and the doors to it; every file that a client may name is in `files`."""

    files: Path
    plaintext: str
    tls: str
    mtls: str
    stranger: str

    def trusting(self, authority: str = "ca.pem") -> dict[str, str]:
        return {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(self.files / authority)}

    def shown(self, certificate: str = "client.pem", key: str = "client.key") -> dict[str, str]:
        return self.trusting() | {
            "TEMPORAL_TLS_CLIENT_CERT_PATH": str(self.files / certificate),
            "TEMPORAL_TLS_CLIENT_KEY_PATH": str(self.files / key),
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    files, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(str(files / "ca.pem"))
    for name, issuer in (("client", authority), ("foreign", trustme.CA())):
        issued = issuer.issue_cert(f"{name}-1@example.com")
        issued.cert_chain_pems[0].write_to_path(str(files / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(files / f"{name}.key"))
    trustme.CA().cert_pem.write_to_path(str(files / "foreign-ca.pem"))
    (files / "notes.txt").write_text("no certificate, no key\n")
    (files / "locked.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    async with contextlib.AsyncExitStack() as stack:
        proxy = _to(temporal_address)
        doors = [
            await stack.enter_async_context(_door(handler, _server_side(authority, asks=asks)))
            for handler, asks in (
                (proxy, False),
                (proxy, True),
                (_lets_nobody_in, False),
            )
        ]
        yield Site(files, temporal_address, *doors)


def _server_side(authority: trustme.CA, *, asks: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2"])
    if asks:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.asynccontextmanager
async def _door(handler: Handler, context: ssl.SSLContext) -> AsyncIterator[str]:
    """A way in by TLS; whoever is still inside when it closes is put out, and has left before the loop ends."""
    inside: set[asyncio.Task[None]] = set()

    async def one_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        inside.add(task)
        task.add_done_callback(inside.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the other side hung up
            async with _ended(writer):
                await handler(reader, writer)

    server = await asyncio.start_server(one_connection, "127.0.0.1", 0, ssl=context)
    yield f"localhost:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in inside:
        task.cancel()
    await asyncio.gather(*inside, return_exceptions=True)


@contextlib.asynccontextmanager
async def _ended(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """The connection is gone afterwards, without TLS's good-bye, for which nobody may be left on the other side."""
    try:
        yield
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _to(address: str) -> Handler:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = address.split(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        async with _ended(inner_writer):
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    return proxy


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


_SETTINGS, _HEADERS, _ACKNOWLEDGED, _WHOLE = 4, 1, b"\x01", b"\x05"
"""HTTP/2's types of frames, and flags (RFC 9113, 6)."""


async def _lets_nobody_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every call as a server does that does not know the API key: headers alone, in HPACK without its tables."""
    await reader.readexactly(24)
    nothing = b"\x00\x00\x00"
    writer.write(nothing + bytes([_SETTINGS]) + b"\x00" + bytes(4))
    said = {"content-type": "application/grpc", "grpc-status": "7", "grpc-message": "Request unauthorized."}
    headers = b"\x88" + b"".join(b"\x00" + _counted(name) + _counted(value) for name, value in said.items())
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3]))
        if head[3] == _SETTINGS and head[4:5] != _ACKNOWLEDGED:
            writer.write(nothing + bytes([_SETTINGS]) + _ACKNOWLEDGED + bytes(4))
        if head[3] == _HEADERS:
            writer.write(len(headers).to_bytes(3) + bytes([_HEADERS]) + _WHOLE + head[5:] + headers)


def _counted(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests leads elsewhere."""
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")


async def reached(monkeypatch: pytest.MonkeyPatch, address: str, variables: dict[str, str] | None = None) -> Client:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    for name, value in (variables or {}).items():
        monkeypatch.setenv(name, value)
    return await connect(Settings())


async def refused(
    monkeypatch: pytest.MonkeyPatch, address: str, variables: dict[str, str] | None = None
) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        await reached(monkeypatch, address, variables)
    assert "\n" not in str(caught.value)
    return caught.value


# --- what is reached ---------------------------------------------------------------------------------------------


async def test_a_server_is_reached_by_tls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await reached(monkeypatch, site.tls, site.trusting())
    assert await client.service_client.check_health()


async def test_a_server_that_wants_a_client_certificate_is_shown_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await reached(monkeypatch, site.mtls, site.shown())
    assert await client.service_client.check_health()


async def test_an_api_key_turns_tls_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.plaintext, {"TEMPORAL_API_KEY": "api-key-1"})
    assert "it does not speak TLS" in str(error)
    assert await reached(monkeypatch, site.tls, site.trusting())


async def test_a_profile_of_the_temporal_cli_says_it_all(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text(
        f"""
        [profile.production]
        address = "{site.mtls}"
        namespace = "default"
        [profile.production.tls]
        server_ca_cert_path = "{site.files / "ca.pem"}"
        client_cert_path = "{site.files / "client.pem"}"
        client_key_path = "{site.files / "client.key"}"
        """
    )
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profile))
    monkeypatch.setenv("TEMPORAL_PROFILE", "production")
    assert (await connect(Settings())).service_client.config.target_host == site.mtls


# --- what is refused, and by whom --------------------------------------------------------------------------------


@pytest.mark.parametrize("authority", [None, "foreign-ca.pem"], ids=["the system's", "another"])
async def test_a_server_of_an_authority_that_is_not_trusted(
    site: Site, monkeypatch: pytest.MonkeyPatch, authority: str | None
) -> None:
    error = await refused(monkeypatch, site.tls, site.trusting(authority) if authority else {"TEMPORAL_TLS": "true"})
    assert (
        str(error) == f"Temporal at {site.tls} is not reached: its certificate is of no authority that is trusted here"
    )
    assert "TEMPORAL_TLS_SERVER_CA_CERT_PATH" in (error.action or "")


async def test_a_server_of_another_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.tls, site.trusting() | {"TEMPORAL_TLS_SERVER_NAME": "temporal.example.com"})
    assert "its certificate is for another name" in str(error)
    assert "TEMPORAL_TLS_SERVER_NAME" in (error.action or "")


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [(None, "It may want a client certificate"), ("foreign", "It may not accept the client certificate")],
)
async def test_a_handshake_that_the_server_refuses(
    site: Site, monkeypatch: pytest.MonkeyPatch, shown: str | None, wanted: str
) -> None:
    variables = site.shown(f"{shown}.pem", f"{shown}.key") if shown else site.trusting()
    error = await refused(monkeypatch, site.mtls, variables)
    assert f"Temporal at {site.mtls} ended the connection" in str(error)
    assert (error.action or "").startswith(wanted)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ('code: Unknown, message: "transport error"', "hyper::Error(Io, Kind(ConnectionReset))"),
        ('code: Cancelled, message: "operation was canceled"', 'hyper::Error(Canceled, "connection closed")'),
    ],
    ids=["in the middle of a call", "before a call"],
)
async def test_a_connection_that_is_ended_is_told_alike_whenever_the_client_notices(status: str, cause: str) -> None:
    said = f"Status {{ {status}, source: Some(tonic::transport::Error(Transport, {cause})) }}"
    error = in_words(RuntimeError(f"`get_system_info` call error after connection: {said}"), {"target_host": "t:7233"})
    assert str(error).startswith("Temporal at t:7233 ended the connection: ")
    assert error.action


async def test_a_server_that_wants_tls_and_is_not_offered_any(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.tls)
    assert error.action == "It may want TLS: set tls (TEMPORAL_TLS=true)."


async def test_a_certificate_and_the_key_of_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.mtls, site.shown(key="foreign.key"))
    assert "are not of one pair" in str(error)


async def test_an_api_key_that_the_server_does_not_know(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.stranger, site.trusting() | {"TEMPORAL_API_KEY": "planted-key-1"})
    assert isinstance(error, PrerequisiteError)
    assert "it does not accept who we are" in str(error)
    assert "TEMPORAL_API_KEY" in (error.action or "")
    assert "planted-key-1" not in f"{error} {error.action}"


async def test_a_namespace_that_is_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, site.plaintext, {"TEMPORAL_NAMESPACE": "nowhere-1"})
    assert str(error) == f"there is no namespace nowhere-1 at {site.plaintext}"
    assert "migrator setup-namespace" in (error.action or "")


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    error = await refused(monkeypatch, "127.0.0.1:9")
    assert isinstance(error, Unavailable)
    assert str(error) == "no Temporal server answers at 127.0.0.1:9: Connection refused"


# --- what is not even tried --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "."},
            "tls.server_ca_cert_path (TEMPORAL_TLS_SERVER_CA_CERT_PATH): the file . cannot be read: Is a directory",
        ),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_PATH": "nowhere", "TEMPORAL_TLS_CLIENT_KEY_PATH": "client.key"},
            "tls.client_cert_path (TEMPORAL_TLS_CLIENT_CERT_PATH): there is no file nowhere",
        ),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_PATH": "client.pem", "TEMPORAL_TLS_CLIENT_KEY_PATH": "notes.txt"},
            "tls.client_key_path (TEMPORAL_TLS_CLIENT_KEY_PATH): the file notes.txt is not a private key in PEM",
        ),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_PATH": "client.pem", "TEMPORAL_TLS_CLIENT_KEY_PATH": "locked.key"},
            "tls.client_key_path (TEMPORAL_TLS_CLIENT_KEY_PATH): the key is encrypted",
        ),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_DATA": "c2VjcmV0", "TEMPORAL_TLS_CLIENT_KEY_PATH": "client.key"},
            "tls.client_cert_data (TEMPORAL_TLS_CLIENT_CERT_DATA): what it holds is not a certificate in PEM",
        ),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_PATH": "client.pem"},
            "a client certificate and its key go together, and one is missing",
        ),
        (
            {"TEMPORAL_CONFIG_FILE": "nowhere.toml"},
            "TEMPORAL_CONFIG_FILE names nowhere.toml, and there is no such file",
        ),
        ({"TEMPORAL_PROFILE": "nowhere"}, "the Temporal profile cannot be read: Profile 'nowhere' not found"),
        ({"TEMPORAL_ADDRESS": "http://localhost:7233"}, "http://localhost:7233 is no address of a Temporal server"),
        ({"TEMPORAL_ADDRESS": "localhost"}, "localhost is no address of a Temporal server"),
    ],
)
async def test_a_profile_that_leads_nowhere(
    site: Site, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(site.files)
    error = await refused(monkeypatch, variables.get("TEMPORAL_ADDRESS", site.tls), variables)
    assert isinstance(error, PrerequisiteError)
    assert str(error) == words
    assert error.action


async def test_a_damaged_profile_is_not_repeated_since_it_may_hold_a_key(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text('[profile.default]\napi_key = "planted-key-1\n')
    error = await refused(monkeypatch, site.tls, {"TEMPORAL_CONFIG_FILE": str(profile)})
    assert "line 2" in str(error)
    assert "planted-key-1" not in str(error)


@pytest.mark.parametrize("address", ["10.0.0.1:7233", "temporal.example.com:7233", "[2001:db8::1]:7233"])
async def test_nothing_goes_elsewhere_in_plaintext_unless_a_setting_allows_it(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    with pytest.raises(PrerequisiteError, match="without TLS") as caught:
        connection(plaintext_allowed=False)
    assert "allow_plaintext_temporal" in (caught.value.action or "")
    assert connection(plaintext_allowed=True)["target_host"] == address
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    assert connection(plaintext_allowed=False)["tls"]


async def test_an_api_key_does_not_go_elsewhere_in_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.com:7233")
    monkeypatch.setenv("TEMPORAL_API_KEY", "planted-key-1")
    monkeypatch.setenv("TEMPORAL_TLS", "false")
    with pytest.raises(PrerequisiteError, match="without TLS"):
        connection(plaintext_allowed=False)


@pytest.mark.parametrize("address", ["127.0.0.1:7233", "127.8.8.8:7233", "[::1]:7233", "localhost:7233"])
async def test_this_machine_may_be_reached_in_plaintext(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    assert connection(plaintext_allowed=False)["target_host"] == address


async def test_the_command_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.com:7233")
    ran = await asyncio.to_thread(CliRunner().invoke, app, ["alive"])
    assert ran.exit_code == 1
    assert "would be reached without TLS" in ran.output
    assert "MIGRATOR_ALLOW_PLAINTEXT_TEMPORAL=true" in ran.output
