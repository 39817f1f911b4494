"""One look at one health check: where it goes, and whether what was found is healthy."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from migration.errors import NotFound, SourcePreparationError, Unavailable, VerificationError
from migration.formats import found_in
from migration.models import Model
from migration.ports import Commands, DomainNames, HealthLook, HealthProbe, HttpLook, RecordKey, Where
from migration.request import HealthCheck, HttpCheck, OperatingSystem, SsmCheck, TcpCheck

_COMMAND_WITHIN = timedelta(seconds=10)
_LONGEST_FOUND = 120
_PLACEHOLDER = "{privateIp}"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class LeadingName(Model):
    """A DNS record that leads users to the server: asked at each look, it must answer with launched addresses alone."""

    provider: str
    key: RecordKey
    addresses: tuple[str, ...]


class HealthTarget(Model):
    """A health check of the request, and the server that it goes to.

    Attributes:
        address: The server's own.
        instance_id: Of the launched instance; None: the source machine.
        name: What is asked for the address to connect to; None: the server's own is taken.
    """

    check: HealthCheck
    address: str
    instance_id: str | None = None
    os: OperatingSystem = OperatingSystem.LINUX
    name: LeadingName | None = None

    @property
    def server(self) -> str:
        """The server that is checked."""
        return self.check.server

    @property
    def what(self) -> str:
        """What is looked at, for people."""
        host = self.name.key.name if self.name else self.address
        match self.check:
            case HttpCheck():
                return url_at(self.check.url, host)
            case TcpCheck():
                return f"tcp {_bracketed(host)}:{self.check.port}"
            case SsmCheck():
                return f"ssm {self.instance_id}: {self.check.command}"


class HealthResult(Model):
    """What one look at one target gave. `seen` is false where nothing could be said of the application."""

    server: str
    kind: str
    target: str
    healthy: bool
    found: str
    seen: bool = True


@dataclass(frozen=True)
class Looks:
    """How a look is had."""

    probe: HealthProbe
    commands: Commands
    names: Callable[[str], DomainNames]

    def at(self, target: HealthTarget, where: Where, comment: str) -> HealthResult:
        """Look once, within seconds.

        Args:
            target: What is looked at.
            where: Where its instance is.
            comment: The mark of a command that is sent: one that has it already is not sent again.

        Raises:
            MigrationError: A person has to act before there can be a look.
        """
        try:
            healthy, found = self._found(target, where, comment)
        except (VerificationError, SourcePreparationError) as wrong:
            healthy, found = False, str(wrong)
        except Unavailable as error:
            return result_of(target, healthy=False, found=str(error), seen=False)
        return result_of(target, healthy=healthy, found=found)

    def _found(self, target: HealthTarget, where: Where, comment: str) -> tuple[bool, str]:
        match target.check:
            case HttpCheck() as check:
                look = self.probe.get(_get(check, target, self._address(target)))
                return _judged(check, look)
            case TcpCheck() as check:
                look = self.probe.connect(self._address(target), check.port)
                return look.error is None, look.error or "accepts connections"
            case SsmCheck() as check:
                return self._ran(check, target, where, comment)

    def _address(self, target: HealthTarget) -> str:
        """Where users get to: what every server that answers for the name says, or the server's own address.

        Raises:
            VerificationError: DNS leads elsewhere.
            Unavailable: A DNS server did not answer.
        """
        if target.name is None:
            return target.address
        answers = self.names(target.name.provider).authoritative_answer(target.name.key)
        known = target.name.addresses
        for server, values in answers.items():
            if not values or not set(values) <= set(known):
                raise VerificationError(f"DNS says {', '.join(values) or 'nothing'} ({server})")
        answered = [value for values in answers.values() for value in values]
        if not answered:
            raise VerificationError("DNS says nothing: no server was asked")
        return target.address if target.address in answered else answered[0]

    def _ran(self, check: SsmCheck, target: HealthTarget, where: Where, comment: str) -> tuple[bool, str]:
        commands, instance_id = self.commands(where), target.instance_id or ""
        try:
            managed = commands.find(instance_id=instance_id, name=check.server)
        except NotFound:
            return False, "Systems Manager does not manage it yet"
        if not managed.online:
            return False, "Systems Manager has no contact with it"
        lines = [check.command]
        ended = commands.run(instance_id, lines, os=target.os, comment=comment, within=_COMMAND_WITHIN)
        return ended.exit_code == 0, f"exit code {ended.exit_code} (command {ended.command_id})"


def result_of(target: HealthTarget, *, healthy: bool, found: str, seen: bool = True) -> HealthResult:
    """A target's result, in few words: what an application says may be long, and is not all for people's eyes."""
    return HealthResult(
        server=target.server,
        kind=target.check.type,
        target=target.what,
        healthy=healthy,
        found=found if len(found) <= _LONGEST_FOUND else f"{found[:_LONGEST_FOUND]}…",
        seen=seen,
    )


def url_at(url: str, host: str) -> str:
    """A check's URL with this address or name in it; an IPv6 address stands in brackets where it is the host."""
    scheme, _, rest = url.partition("://")
    rest = rest.replace(f"[{_PLACEHOLDER}]", _bracketed(host), 1) if rest.startswith("[") else rest
    rest = rest.replace(_PLACEHOLDER, _bracketed(host), 1) if rest.startswith(_PLACEHOLDER) else rest
    return f"{scheme}://{rest.replace(_PLACEHOLDER, host)}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _get(check: HttpCheck, target: HealthTarget, address: str) -> HttpLook:
    """The address is connected to; a name that leads there, or that the check asks for, is what it is called by."""
    url, tls = url_at(check.url, address), check.tls
    own = tls.server_name if tls else None
    name = target.name.key.name if target.name else own
    return HttpLook(
        url=url,
        host=_with_port(url, name) if name else None,
        headers=check.headers,
        server_name=own or name,
        ca=tls.ca if tls else None,
        verify=tls.verify if tls else True,
        read_body=(check.expect_body, check.expect_body_pattern) != (None, None),
    )


def _with_port(url: str, name: str) -> str:
    parts = urlsplit(url)
    return f"{name}:{parts.port}" if parts.port not in (None, _DEFAULT_PORTS[parts.scheme]) else name


def _judged(check: HttpCheck, look: HealthLook) -> tuple[bool, str]:
    if look.error is not None:
        return False, look.error
    said = f"HTTP {look.status}"
    if look.status != check.expect_status:
        return False, said
    wrong = [*_wrong_headers(check, look), *_wrong_body(check, look)]
    return not wrong, ", but ".join([said, *wrong])


def _wrong_headers(check: HttpCheck, look: HealthLook) -> Iterator[str]:
    for name, expected in check.expect_headers.items():
        found = look.headers.get(name.lower())
        if found != expected:
            yield f"without the header {name}" if found is None else f"with another {name}: {found!a}"


def _wrong_body(check: HttpCheck, look: HealthLook) -> Iterator[str]:
    if check.expect_body is not None and check.expect_body not in look.body:
        yield "the body lacks the text that is expected"
    if check.expect_body_pattern is not None and not found_in(check.expect_body_pattern, look.body):
        yield "the body does not match the pattern that is expected"
