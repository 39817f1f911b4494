"""The looks at AWS and at the data centre; each says what it saw, and raises what is wrong."""

from collections.abc import Mapping
from contextlib import closing

from adapters import installation
from adapters.allowed import Allowed, Identity, dry_runs, identity, simulated
from adapters.aws import AwsSessions
from adapters.cmf import CloudMigrationFactory
from adapters.mgn.service import Mgn
from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS, PARTS, Part, wanted
from adapters.secrets import Secrets
from adapters.servicenow import ServiceNow
from adapters.signing_keys import approval_keys
from adapters.vcenter import VCenter
from migration.errors import MigrationError, PrerequisiteError
from migration.ports import Where
from migration.settings import Connection, FactoryConnection, Settings
from starter.doctor.checks import WITHIN, State, Verdict

_NO_PRINCIPAL = "the root user, or a federated one: it has no policies that could be asked"


class Account:
    """Our own AWS account, with the worker's credentials."""

    def __init__(self, sessions: AwsSessions, settings: Settings) -> None:
        """Nothing is called yet."""
        self._sessions = sessions
        self._settings = settings

    def identity(self) -> str:
        """Who AWS takes us for."""
        return identity(self._sessions).arn

    def permissions(self, part: Part = Part.ALL) -> str | Verdict:
        """What our policies allow, of what that part of the product needs."""
        who = identity(self._sessions)
        needed = {role: IN_OUR_ACCOUNT[role] for role in IN_OUR_ACCOUNT if role in PARTS[part]}
        return _judged(self._sessions, who, wanted(needed, self._names(who)))

    def _names(self, who: Identity) -> dict[str, str]:
        settings = self._settings
        resources = {
            "request_queue": settings.request_queue_url,
            "dead_letter_queue": settings.dead_letter_queue_url,
            "state_table": settings.state_table,
            "event_bus": settings.event_bus,
        }
        region = str(self._sessions.client("sts").meta.region_name)
        return _place(who, region) | {name: said.rpartition("/")[2] for name, said in resources.items() if said}

    def table(self) -> str:
        """The state table."""
        return installation.table(self._sessions, self._settings.state_table)

    def request_queue(self) -> str:
        """The queue of requests, which the settings name, as the others below."""
        settings = self._settings
        return installation.request_queue(
            self._sessions, str(settings.request_queue_url), settings.dead_letter_queue_url
        )

    def dead_letter_queue(self) -> str:
        """The queue of refused requests."""
        return installation.dead_letter_queue(self._sessions, str(self._settings.dead_letter_queue_url))

    def event_bus(self) -> str:
        """The bus of events."""
        return installation.event_bus(self._sessions, str(self._settings.event_bus))

    def callback_secret(self) -> str:
        """The default secret of callbacks; it is not shown."""
        reference = str(self._settings.callback_secret)
        Secrets(self._sessions).resolve(reference)
        return f"{reference} is readable"


class Target:
    """One account and region that migrations go to."""

    def __init__(self, sessions: AwsSessions, where: Where) -> None:
        """Nothing is called yet."""
        self._sessions = sessions
        self._where = where

    def identity(self) -> str:
        """The role, if there is one, and whether it leads to that account."""
        who = identity(self._sessions, self._where)
        if who.account_id != self._where.account_id:
            raise PrerequisiteError(
                f"our credentials lead to the account {who.account_id}",
                action="Name a role of that account: --where ACCOUNT/REGION=ROLE_ARN, and target.roleArn in requests.",
            )
        return who.arn

    def initialised(self) -> str:
        """Whether MGN was ever initialised there."""
        if not Mgn(self._sessions, self._where).is_initialised():
            raise PrerequisiteError(
                "MGN is not initialised",
                action=f"Run: aws mgn initialize-service --region {self._where.region}, in that account.",
            )
        return "initialised"

    def dry_runs(self) -> str | Verdict:
        """What EC2 says it would let us do."""
        return _verdict(dry_runs(self._sessions, self._where))

    def permissions(self) -> str | Verdict:
        """What the role's policies allow."""
        who = identity(self._sessions, self._where)
        needed = wanted(IN_TARGET_ACCOUNTS, _place(who, self._where.region))
        return _judged(self._sessions, who, needed, self._where)


def _place(who: Identity, region: str) -> dict[str, str]:
    return {"partition": who.arn.split(":")[1], "account": who.account_id, "region": region}


def _judged(
    sessions: AwsSessions, who: Identity, needed: Mapping[str, str], where: Where | None = None
) -> str | Verdict:
    if who.principal is None:
        return Verdict(State.NOT_CHECKED, _NO_PRINCIPAL)
    try:
        found = simulated(sessions, who, needed, where)
    except MigrationError as error:
        action = "Allow iam:SimulatePrincipalPolicy to be told; nothing else needs it."
        return Verdict(State.NOT_CHECKED, str(error), action)
    return _verdict(found)


def _verdict(found: Allowed) -> str | Verdict:
    if found.denied:
        raise PrerequisiteError(f"not allowed: {', '.join(found.denied)}", action="Allow it: adapters/permissions.py.")
    unsure = f"; not known: {', '.join(found.unknown)}" if found.unknown else ""
    return Verdict(State.OK if found.allowed else State.NOT_CHECKED, f"{len(found.allowed)} allowed{unsure}")


def vcenter(connection: Connection) -> str:
    """Log in and read."""
    with closing(VCenter(connection, call_within=WITHIN)) as there:
        return there.about()


def servicenow(connection: Connection) -> str:
    """Log in and read."""
    with closing(ServiceNow(connection)) as there:
        return f"{there.about()} lets us read"


def factory(sessions: AwsSessions, connection: FactoryConnection) -> str:
    """Log in and read."""
    with closing(CloudMigrationFactory(connection, Secrets(sessions), sessions)) as there:
        return f"it has {len(there.applications())} applications"


def keys(settings: Settings) -> str:
    """The public keys of approvers."""
    return f"{len(approval_keys(settings.approval_keys))} keys of {len(settings.approval_keys)} people"
