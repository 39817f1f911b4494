"""How fast the local MGN goes, what it allows, how it reads what is open, and what stands behind it."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from .hooks import AlwaysOnline, Faults, NoFaults, SourceWorld
from .switches import Switches


@dataclass(frozen=True)
class Quotas:
    """The service's quotas for one account and region.

    Source: https://docs.aws.amazon.com/mgn/latest/ug/MGN-service-limits.html
    """

    concurrent_jobs: int = 20
    servers_in_a_job: int = 200
    servers_in_all_jobs: int = 200
    jobs_of_a_server: int = 1
    replicating_servers: int = 150
    active_servers: int = 4000
    total_servers: int = 50_000
    servers_in_an_application: int = 200
    applications_in_a_wave: int = 1000
    active_applications: int = 200
    active_waves: int = 200
    archived_applications: int = 10_000
    archived_waves: int = 10_000
    actions_of_a_server: int = 100
    actions_of_a_template: int = 100


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
    agent_discovery: float = 90
    action: float = 60


@dataclass(frozen=True, kw_only=True)
class MgnSettings(Switches):
    """The local MGN's settings: the switches, and these.

    Attributes:
        factor: MGN seconds that pass in one real second.
        durations: How long things take, in MGN seconds.
        quotas: What one account may have in one region.
        managed_accounts: The accounts that an account may act for by `accountID`, as a delegated administrator.
        clock: Unix time, in real seconds.
    """

    factor: float = 1.0
    durations: Durations = field(default_factory=Durations)
    quotas: Quotas = field(default_factory=Quotas)
    managed_accounts: Mapping[str, Collection[str]] = field(default_factory=dict)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        super().__post_init__()
        if self.factor <= 0:
            raise ValueError(f"the factor of the clock must be above 0, not {self.factor}")

    def real(self, mgn_seconds: float) -> float:
        """Real seconds in which so many MGN seconds pass."""
        return mgn_seconds / self.factor


@dataclass
class _InForce:
    settings: MgnSettings
    world: SourceWorld
    faults: Faults


_in_force = _InForce(MgnSettings(), AlwaysOnline(), NoFaults())


def configure(
    settings: MgnSettings | None = None, *, world: SourceWorld | None = None, faults: Faults | None = None
) -> None:
    """Set what every backend of this process goes by; what is not given returns to its default."""
    _in_force.settings = settings or MgnSettings()
    _in_force.world = world or AlwaysOnline()
    _in_force.faults = faults or NoFaults()


def settings() -> MgnSettings:
    """The settings in force."""
    return _in_force.settings


def world() -> SourceWorld:
    """The world in force."""
    return _in_force.world


def faults() -> Faults:
    """The plan of faults in force."""
    return _in_force.faults
