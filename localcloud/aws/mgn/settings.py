"""How fast the local MGN goes, what it allows, and the data centre that it looks at."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

LaunchKind = Literal["test", "cutover"]
SourceOff = Literal["stalled", "disconnected", "lagNull"]


class SourceWorld(Protocol):
    """The data centre behind the agents, and who wants to know of the instances.

    Every method is called while the backend's lock is held: it must not wait for a thread that calls MGN.
    """

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


@dataclass(frozen=True)
class Quotas:
    """The service's quotas for one account and region.

    Source: https://docs.aws.amazon.com/mgn/latest/ug/MGN-service-limits.html
    """

    concurrent_jobs: int = 20
    servers_in_a_job: int = 200
    servers_in_all_jobs: int = 200
    replicating_servers: int = 150
    active_servers: int = 4000
    servers_in_an_application: int = 200
    applications_in_a_wave: int = 1000
    active_applications: int = 200
    active_waves: int = 200
    archived_applications: int = 10_000
    archived_waves: int = 10_000


@dataclass(frozen=True)
class Durations:
    """How long things take, in MGN seconds: real seconds multiplied by the factor of the settings."""

    initiation_step: float = 15
    initial_sync_per_gib: float = 75
    backlog: float = 60
    first_snapshot: float = 75
    snapshot_interval: float = 600
    rescan: float = 120
    stall_after: float = 900
    next_attempt: float = 300

    job_pending: float = 10
    cleanup: float = 45
    snapshot: float = 60
    conversion: float = 270
    launch: float = 120
    first_boot: float = 60
    terminate: float = 50


@dataclass(frozen=True)
class MgnSettings:
    """The local MGN's settings.

    Attributes:
        factor: MGN seconds that pass in one real second.
        durations: How long things take, in MGN seconds.
        quotas: What one account may have in one region.
        source_off: What a source that has been off for `stall_after` looks like: STALLED with its lag, so that it can
            still be launched; DISCONNECTED without one; or STALLED with a lag of null, which forbids every launch.
        clock: Unix time, in real seconds.
    """

    factor: float = 1.0
    durations: Durations = field(default_factory=Durations)
    quotas: Quotas = field(default_factory=Quotas)
    source_off: SourceOff = "stalled"
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if self.factor <= 0:
            message = f"the factor of the clock must be above 0, not {self.factor}"
            raise ValueError(message)

    def real(self, mgn_seconds: float) -> float:
        """Real seconds in which so many MGN seconds pass."""
        return mgn_seconds / self.factor


@dataclass
class _InForce:
    settings: MgnSettings
    world: SourceWorld


_in_force = _InForce(MgnSettings(), AlwaysOnline())


def configure(settings: MgnSettings | None = None, *, world: SourceWorld | None = None) -> None:
    """Set what every backend of this process goes by; what is not given returns to its default."""
    _in_force.settings = settings or MgnSettings()
    _in_force.world = world or AlwaysOnline()


def settings() -> MgnSettings:
    """The settings in force."""
    return _in_force.settings


def world() -> SourceWorld:
    """The world in force."""
    return _in_force.world
