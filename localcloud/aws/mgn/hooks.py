"""What a host may put behind the local MGN: the data centre that the agents run in, and planned faults.

A hook is called while the backend's lock is held: it must not wait for a thread that calls MGN. One that raises is
logged and taken as if it had nothing to say, so that no job hangs on it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from .exceptions import MgnError

LaunchKind = Literal["test", "cutover"]
Answer = TypeVar("Answer")

_LOG = logging.getLogger(__name__)


class SourceWorld(Protocol):
    """The data centre behind the agents, and who wants to know of the instances."""

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:
        """When the source went on and off: (Unix time, whether it is online from then), in order of time.

        A source is online until the first entry that says otherwise.
        """

    def launched(
        self, source_server_id: str, user_provided_id: str, instance_id: str, kind: LaunchKind, data_as_of: float
    ) -> None:
        """Take note of an EC2 instance that a launch job has just made, with the source's data as of a Unix time."""

    def terminated(self, instance_id: str) -> None:
        """Take note of an EC2 instance that a job has just terminated."""

    def launch_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        """Why the launch of this source must fail (the raw error of the job's log), or None to let it be."""


class AlwaysOnline:
    """The world when there is none: sources never go off, launches never fail, nobody is told."""

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:  # noqa: ARG002  the role's parameter
        return []

    def launched(
        self, source_server_id: str, user_provided_id: str, instance_id: str, kind: LaunchKind, data_as_of: float
    ) -> None:
        pass

    def terminated(self, instance_id: str) -> None:
        pass

    def launch_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:  # noqa: ARG002  as above
        return None


TROUBLES = frozenset(
    {
        "AGENT_NOT_SEEN",
        "SNAPSHOTS_FAILURE",
        "NOT_CONVERGING",
        "UNSTABLE_NETWORK",
        "FAILED_TO_CREATE_SECURITY_GROUP",
        "FAILED_TO_LAUNCH_REPLICATION_SERVER",
        "FAILED_TO_BOOT_REPLICATION_SERVER",
        "FAILED_TO_AUTHENTICATE_WITH_SERVICE",
        "FAILED_TO_DOWNLOAD_REPLICATION_SOFTWARE",
        "FAILED_TO_CREATE_STAGING_DISKS",
        "FAILED_TO_ATTACH_STAGING_DISKS",
        "FAILED_TO_PAIR_REPLICATION_SERVER_WITH_AGENT",
        "FAILED_TO_CONNECT_AGENT_TO_REPLICATION_SERVER",
        "FAILED_TO_START_DATA_TRANSFER",
        "UNSUPPORTED_VM_CONFIGURATION",
        "LAST_SNAPSHOT_JOB_FAILED",
        "FAILED_TO_SETUP_FSX_PROXY",
        "FAILED_TO_CREATE_FSX_SNAPSHOT",
    }
)
"""DataReplicationErrorString of the service model."""


@dataclass(frozen=True)
class Trouble:
    """Why a replication stalls: one of `TROUBLES`, and free text beside it."""

    code: str
    raw_error: str | None = None

    def __post_init__(self) -> None:
        """Refuse a code that the service does not have."""
        if self.code not in TROUBLES:
            raise ValueError(f"{self.code} is no error of a replication")


class Faults(Protocol):
    """What is planned to go wrong, asked at the moment it would."""

    def refusal(self, operation: str, request: Mapping[str, Any]) -> MgnError | None:
        """The error that answers a valid request before it has any effect, or None to carry it out.

        Meant for what depends on the account's load: ThrottlingException, InternalServerException, AccessDenied.
        """

    def troubles(self, user_provided_id: str) -> list[tuple[float, Trouble | None]]:
        """When the replication of a source stalled, and when it could go on (None): Unix times, in order."""

    def snapshot_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        """Why no snapshot can be taken for a launch, which then uses the previous one; None to let it be."""

    def conversion_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        """Why the conversion for a launch must fail, or None to let it be."""

    def action_fault(self, user_provided_id: str, kind: LaunchKind, action_name: str) -> str | None:
        """Why a post-launch action must fail, or None to let it be."""


class NoFaults:
    """The plan when there is none."""

    def refusal(self, operation: str, request: Mapping[str, Any]) -> MgnError | None:  # noqa: ARG002  as above
        return None

    def troubles(self, user_provided_id: str) -> list[tuple[float, Trouble | None]]:  # noqa: ARG002  as above
        return []

    def snapshot_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:  # noqa: ARG002  as above
        return None

    def conversion_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:  # noqa: ARG002  as above
        return None

    def action_fault(
        self,
        user_provided_id: str,  # noqa: ARG002  as above
        kind: LaunchKind,  # noqa: ARG002  as above
        action_name: str,  # noqa: ARG002  as above
    ) -> str | None:
        return None


def ask(hook: Callable[..., Answer], *about: Any, otherwise: Answer) -> Answer:
    """What a hook answers; `otherwise` when it raises."""
    try:
        return hook(*about)
    except Exception:  # noqa: BLE001  a host may raise whatever it likes
        _LOG.exception("the hook %s failed", getattr(hook, "__name__", hook))
        return otherwise
