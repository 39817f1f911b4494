"""How Temporal is reached: the profile as `temporalio.envconfig` reads it, looked at first, and refusals in words.

The SDK passes over a configuration file that is not there, and says what went wrong in the words of its Rust libraries.
Here each is one sentence, and what to do about it.
"""

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile, ClientConfigTLS, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from migration.errors import MigrationError, PrerequisiteError, Unavailable
from migration.settings import temporal_file

_USUAL = "localhost:7233"
_ANSWERS_WITHIN = timedelta(seconds=10)
_CERTIFICATE = re.compile(rb"-----BEGIN (TRUSTED )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")
_LOCKED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_QUOTED_LINE = re.compile(r"^\s*\d*\s*\|.*\n?", re.MULTILINE)
"""How a TOML error repeats the file, which may hold an API key."""

_AUTHORITY = "tls.server_ca_cert_path (TEMPORAL_TLS_SERVER_CA_CERT_PATH)"
_NAME = "tls.server_name (TEMPORAL_TLS_SERVER_NAME)"
_PAIR = "tls.client_cert_path and tls.client_key_path (TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH)"


class _Refusal(NamedTuple):
    """What the SDK says of a connection that was not made, and the same for people."""

    said: str
    words: str
    action: str


_REFUSALS = (
    _Refusal(
        r"NotValidForName",
        "its certificate is for another name",
        f"Set {_NAME} to a name that the certificate has, or correct the address.",
    ),
    _Refusal(
        r"InvalidCertificate\(Unknown",
        "its certificate is of no authority that is trusted here",
        f"Name the file with the authority's certificate: {_AUTHORITY}.",
    ),
    _Refusal(
        r"InvalidCertificate", "its certificate is not valid", "Renew it on the server, and compare the clocks of both."
    ),
    _Refusal(
        r"InvalidContentType",
        "it does not speak TLS",
        "Correct the address; a server without TLS is reached with tls.disabled (TEMPORAL_TLS=false), and no API key.",
    ),
    _Refusal(r"KeyMismatch", "the client certificate and the client key are not of one pair", f"Correct {_PAIR}."),
    _Refusal(r"PrivateKeyParseError|NoCertificatesPresented", "what it is to be shown is damaged", f"Correct {_PAIR}."),
    _Refusal(
        r"code: (PermissionDenied|Unauthenticated)",
        "it does not accept who we are",
        "Correct or renew api_key (TEMPORAL_API_KEY), or the client certificate; both need access to the namespace.",
    ),
)
_HUNG_UP = re.compile(r'fatal alert|handshake eof|message: "transport error"|Error\(Canceled, "connection closed"\)')
_QUOTED = re.compile(r'"([^"]+)"')
"""The innermost error, which comes last, says it in words."""


def connection(*, plaintext_allowed: bool) -> ClientConnectConfig:
    """The arguments for `Client.connect`: TEMPORAL_ADDRESS and the like, or a profile of the `temporal` CLI's file.

    Args:
        plaintext_allowed: Whether a server elsewhere may be reached without TLS.

    Raises:
        PrerequisiteError: The profile cannot be used; the error names what to correct.
    """
    profile = _profile()
    address = profile.address or _USUAL
    host = _host(address)
    if profile.tls and not profile.tls.disabled:
        _look_at_files(profile.tls)
    config = profile.to_client_connect_config()
    config["target_host"] = address
    if not config.get("tls") and not plaintext_allowed and not _is_here(host):
        raise PrerequisiteError(
            f"{address} would be reached without TLS, and everything that is said could be read and changed on the way",
            action="Set tls (TEMPORAL_TLS=true), or an API key, which turns it on; where the network itself is "
            "trusted, the setting allow_plaintext_temporal (MIGRATOR_ALLOW_PLAINTEXT_TEMPORAL=true).",
        )
    return config


def _profile() -> ClientConfigProfile:
    file = temporal_file()
    if file and not file.is_file():
        raise PrerequisiteError(
            f"TEMPORAL_CONFIG_FILE names {file}, and there is no such file", action="Correct TEMPORAL_CONFIG_FILE."
        )
    try:
        return ClientConfigProfile.load(config_file_strict=True)
    except RuntimeError as error:
        said = " ".join(_QUOTED_LINE.sub("", str(error)).split())
        raise PrerequisiteError(
            f"the Temporal profile cannot be read: {said}",
            action="Correct the variables TEMPORAL_*, or the file, of TEMPORAL_CONFIG_FILE or of the temporal CLI.",
        ) from None


def _host(address: str) -> str:
    try:
        parts = urlsplit(f"//{address}")
        if "/" not in address and parts.hostname and parts.port:
            return parts.hostname
    except ValueError:  # a port that is no number
        pass
    raise PrerequisiteError(
        f"{address} is no address of a Temporal server", action="Give TEMPORAL_ADDRESS as HOST:PORT, without a scheme."
    )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # which is loopback wherever it is asked for: RFC 6761, 6.3


def _look_at_files(tls: ClientConfigTLS) -> None:
    if (tls.client_cert is None) != (tls.client_private_key is None):
        raise PrerequisiteError(
            "a client certificate and its key go together, and one is missing", action=f"Set {_PAIR}."
        )
    for name, source, wanted in (
        ("server_ca_cert", tls.server_root_ca_cert, _CERTIFICATE),
        ("client_cert", tls.client_cert, _CERTIFICATE),
        ("client_key", tls.client_private_key, _KEY),
    ):
        if source is not None:
            _look_at(name, source, wanted)


def _look_at(name: str, source: Path | str | bytes, wanted: re.Pattern[bytes]) -> None:
    kind, where = ("path", f"the file {source}") if isinstance(source, Path) else ("data", "what it holds")
    setting = f"tls.{name}_{kind} (TEMPORAL_TLS_{name.upper()}_{kind.upper()})"
    content = _content(source, setting)
    if _LOCKED.search(content):
        raise PrerequisiteError(
            f"{setting}: the key is encrypted", action="Give it without a passphrase, which nobody could be asked for."
        )
    if not wanted.search(content):
        what = "a certificate" if wanted is _CERTIFICATE else "a private key"
        raise PrerequisiteError(f"{setting}: {where} is not {what} in PEM", action=f"Put {what} in PEM there.")


def _content(source: Path | str | bytes, setting: str) -> bytes:
    if not isinstance(source, Path):
        return source.encode() if isinstance(source, str) else source
    try:
        return source.read_bytes()
    except FileNotFoundError:
        raise PrerequisiteError(f"{setting}: there is no file {source}", action="Correct the path.") from None
    except OSError as error:
        raise PrerequisiteError(
            f"{setting}: the file {source} cannot be read: {error.strerror}",
            action="Correct the path, or who may read the file.",
        ) from error


def in_words(error: Exception, config: ClientConnectConfig) -> MigrationError:
    """The SDK's refusal to connect, for the person who has to act."""
    address, said = config["target_host"], str(error)
    cause = _QUOTED.findall(said)[-1] if _QUOTED.search(said) else said
    for refusal in _REFUSALS:
        if re.search(refusal.said, said):
            return PrerequisiteError(f"Temporal at {address} is not reached: {refusal.words}", action=refusal.action)
    if _HUNG_UP.search(said):
        return PrerequisiteError(
            f"Temporal at {address} ended the connection: {cause}", action=_what_it_may_want(config)
        )
    return Unavailable(f"no Temporal server answers at {address}: {cause}")


def _what_it_may_want(config: ClientConnectConfig) -> str:
    tls = config.get("tls")
    if not tls:
        return "It may want TLS: set tls (TEMPORAL_TLS=true)."
    if isinstance(tls, TLSConfig) and tls.client_cert:
        return f"It may not accept the client certificate, or its authority: look at {_PAIR}."
    return f"It may want a client certificate: set {_PAIR}."


async def look_into_namespace(client: Client) -> None:
    """Make sure that the namespace is there, which the server else says of the first migration that is asked for.

    Raises:
        PrerequisiteError: It is not, or is not for us.
        Unavailable: The server does not answer.
    """
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), retry=True, timeout=_ANSWERS_WITHIN
        )
    except RPCError as error:
        raise _no_namespace(client, error) from error


def _no_namespace(client: Client, error: RPCError) -> MigrationError:
    address = client.service_client.config.target_host
    match error.status:
        case RPCStatusCode.NOT_FOUND:
            return PrerequisiteError(
                f"there is no namespace {client.namespace} at {address}",
                action="Correct TEMPORAL_NAMESPACE (or the profile's namespace), or make it: migrator setup-namespace.",
            )
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            return PrerequisiteError(
                f"{address} does not let us into the namespace {client.namespace}: {error.message}",
                action="Give the API key or the client certificate access to it, or correct TEMPORAL_NAMESPACE.",
            )
        case _:
            return Unavailable(f"Temporal at {address} does not answer: {error.message}")
