import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from adapters.vcenter import VCenter
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import build_world
from migration.errors import PrerequisiteError
from migration.settings import Connection

MACHINE = build_world(250, applications=1).machines[0]


def certificate(directory: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vcenter.example.internal")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "vcenter.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    return path


def serve_tls(listener: socket.socket, upstream: tuple[str, int], pem: Path) -> None:
    """Take TLS off every connection, until the listener is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=terminate, args=(context, plain, upstream), daemon=True).start()


def terminate(context: ssl.SSLContext, plain: socket.socket, upstream: tuple[str, int]) -> None:
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
        while request := read_message(secure):
            with socket.create_connection(upstream) as server:
                server.sendall(request)
                secure.sendall(read_message(server))


def read_message(sock: socket.socket) -> bytes:
    """One HTTP message with its Content-Length; empty at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := sock.recv(65536)):
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def url(pem: Path) -> Iterator[str]:
    simulator = VCenterSimulator([MACHINE], Ledger(), FaultPlan(), on_change=lambda *_: None)
    simulator.start()
    plain = urlsplit(simulator.url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = (str(plain.hostname), int(plain.port or 0))
        threading.Thread(target=serve_tls, args=(listener, upstream, pem), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/sdk"
        listener.shutdown(socket.SHUT_RDWR)
    simulator.stop()


def connection(url: str, ca_file: Path | None) -> Connection:
    return Connection(url=url, username=USERNAME, password=SecretStr(PASSWORD), ca_file=ca_file)


def test_a_vcenter_whose_certificate_we_trust_is_read_over_https(url: str, pem: Path) -> None:
    with closing(VCenter(connection(url, pem))) as vcenter:
        assert vcenter.find(MACHINE.name).uuid == MACHINE.uuid


def test_a_certificate_that_nobody_vouches_for_is_a_matter_for_a_person(url: str) -> None:
    with (
        closing(VCenter(connection(url, None))) as vcenter,
        pytest.raises(PrerequisiteError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        vcenter.find(MACHINE.name)
    assert "ca_file" in str(caught.value.action)


def test_a_url_without_a_path_means_sdk(url: str, pem: Path) -> None:
    with closing(VCenter(connection(url.removesuffix("/sdk"), pem))) as vcenter:
        assert vcenter.find(MACHINE.name).vm == MACHINE.name
