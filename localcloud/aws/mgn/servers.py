"""A source server: what its agent reported, what was done to it, and how it looks to the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import settings as configured
from .actions import Action
from .formats import elapsed, lag, stamped, timestamp
from .hooks import LaunchKind, Trouble, ask
from .post_launch import PostLaunch
from .replication import GIB, INITIATION_STEPS, Happening, Occurrence, Replica, replica
from .volumes import VolumeDefaults

MANAGED_TAG = "AWSApplicationMigrationServiceManaged"
SERVER_TAG = "AWSApplicationMigrationServiceSourceServerID"
AGENT_BASED, SNAPSHOT_SHIPPING = "AGENT_BASED", "SNAPSHOT_SHIPPING"

_GIVES_UP_REPLICATING = frozenset({Happening.STOPPED, Happening.DISCONNECTED})
_CORES, _CORE, _RAM = 2, "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 4 * GIB
RECOMMENDED_INSTANCE_TYPE = "c5.large"
"""The smallest current type of two cores and 4 GiB, which every agent reports here."""


@dataclass(frozen=True)
class Machine:
    """What the agent reports of the machine that it runs on; disks are (device, bytes), the root disk first."""

    hostname: str
    fqdn: str
    ip: str
    mac: str
    user_provided_id: str
    os: str
    disks: tuple[tuple[str, int], ...]
    vmware_uuid: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all disks together."""
        return sum(size for _, size in self.disks)

    @property
    def platform(self) -> str:
        """As the service model has it: windows or linux."""
        return "windows" if "windows" in self.os.lower() else "linux"


@dataclass
class Launched:
    """The instance that a launch job left, with when its first boot ends, and whether a job terminated it since."""

    instance_id: str
    job_id: str
    booted_at: float
    terminated: bool = False


@dataclass
class Attempts:
    """`lifeCycle.lastTest` or `lifeCycle.lastCutover`: when its calls came, in Unix time."""

    initiated: float | None = None
    job_id: str | None = None
    reverted: float | None = None
    finalized: float | None = None

    def begin(self, at: float, job_id: str) -> None:
        self.initiated, self.job_id, self.reverted, self.finalized = at, job_id, None, None

    def describe(self) -> dict[str, dict[str, str]]:
        """Members that are not set are there, and empty: so the real service answers."""
        initiated = stamped(apiCallDateTime=self.initiated)
        return {
            "initiated": initiated | ({"jobID": self.job_id} if self.job_id else {}),
            "reverted": stamped(apiCallDateTime=self.reverted),
            "finalized": stamped(apiCallDateTime=self.finalized),
        }


@dataclass
class SourceServer:
    """One record of a source server; archived ones stay beside the new record of the same machine."""

    id: str
    arn: str
    serial: int
    machine: Machine
    added: float
    tags: dict[str, str]
    launch_template_id: str = ""
    launch_configuration: dict[str, Any] = field(default_factory=dict)
    replication_configuration: dict[str, Any] = field(default_factory=dict)
    state: str = "NOT_READY"
    replication_type: str = AGENT_BASED
    vcenter_client_id: str | None = None
    archived: bool = False
    occurrences: list[Occurrence] = field(default_factory=list)
    launched: Launched | None = None
    test: Attempts = field(default_factory=Attempts)
    cutover: Attempts = field(default_factory=Attempts)
    application_id: str | None = None
    updated: dict[str, Any] = field(default_factory=dict)
    volumes: VolumeDefaults = field(default_factory=VolumeDefaults)
    actions: dict[str, Action] = field(default_factory=dict)
    post_launch: dict[LaunchKind, PostLaunch] = field(default_factory=dict)
    told_ready: bool = False
    told_stalled: bool = False

    @property
    def user_provided_id(self) -> str:
        return str(self.updated.get("userProvidedID", self.machine.user_provided_id))

    def happened(self, what: Happening, at: float) -> None:
        self.occurrences.append(Occurrence(at, what))

    def replica(self, at: float) -> Replica:
        """The replication as of a Unix time."""
        agentless = self.replication_type == SNAPSHOT_SHIPPING
        happened = [*([] if agentless else self._power()), *self._troubles(), *self.occurrences]
        return replica(happened, self.machine.size, configured.settings(), at, ships_snapshots=agentless)

    def _power(self) -> list[Occurrence]:
        history: list[tuple[float, bool]] = ask(
            configured.world().power_history, self.machine.user_provided_id, otherwise=[]
        )
        return [Occurrence(at, Happening.SOURCE_ON if online else Happening.SOURCE_OFF) for at, online in history]

    def _troubles(self) -> list[Occurrence]:
        history: list[tuple[float, Trouble | None]] = ask(
            configured.faults().troubles, self.machine.user_provided_id, otherwise=[]
        )
        return [
            Occurrence(at, Happening.TROUBLED if trouble else Happening.RELIEVED, trouble) for at, trouble in history
        ]

    @property
    def instance_id(self) -> str | None:
        """The instance that no job has terminated since it was launched."""
        return self.launched.instance_id if self.launched and not self.launched.terminated else None

    @property
    def last_asked(self) -> Happening | None:
        """The last thing that decides whether it replicates at all."""
        deciding = _GIVES_UP_REPLICATING | {Happening.STARTED}
        return next((each.what for each in reversed(self.occurrences) if each.what in deciding), None)

    @property
    def replicates(self) -> bool:
        """Whether it takes one of the account's replicating servers."""
        return self.last_asked is Happening.STARTED

    @property
    def disconnected(self) -> bool:
        return self.last_asked is Happening.DISCONNECTED

    def attempts(self, kind: LaunchKind) -> Attempts:
        return self.test if kind == "test" else self.cutover

    def describe(self, now: float, instance_state: str | None) -> dict[str, Any]:
        """The service model's SourceServer; `instance_state` is that of the launched EC2 instance, if there is one."""
        copy = self.replica(now)
        copy = replace(copy, seen=self._last_seen(copy, now))
        answer: dict[str, Any] = {
            "sourceServerID": self.id,
            "arn": self.arn,
            "isArchived": self.archived,
            "replicationType": self.replication_type,
            "tags": shown_tags(self),
            "userProvidedID": self.machine.user_provided_id,
            "dataReplicationInfo": _data_replication_info(copy, self.machine, disconnected=self.disconnected),
            "lifeCycle": self._life_cycle(copy, now),
            "sourceProperties": _source_properties(self.machine, copy),
        }
        if self.launched:
            answer["launchedInstance"] = _launched_instance(self.launched, now, instance_state)
        if self.application_id:
            answer["applicationID"] = self.application_id
        if self.vcenter_client_id:
            answer["vcenterClientID"] = self.vcenter_client_id
        return answer | {name: value for name, value in self.updated.items() if name != "platform"}

    def _last_seen(self, copy: Replica, now: float) -> float:
        """When the agent was seen last; one that FinalizeCutover left in place goes on being seen."""
        if self.state != "CUTOVER" or configured.settings().agent_after_finalize != "stays":
            return copy.seen
        past = [(each.at, each.what) for each in self._power() if each.at <= now]
        return past[-1][0] if past and past[-1][1] is Happening.SOURCE_OFF else now

    def _life_cycle(self, copy: Replica, now: float) -> dict[str, Any]:
        times = stamped(
            addedToServiceDateTime=self.added, firstByteDateTime=copy.first_byte, lastSeenByServiceDateTime=copy.seen
        )
        if copy.started is not None:
            until = now if copy.ended is None else copy.ended
            times["elapsedReplicationDuration"] = elapsed(until - copy.started)
        return times | {
            "state": self.state,
            "lastTest": self.test.describe(),
            "lastCutover": self.cutover.describe(),
        }


def _launched_instance(launched: Launched, now: float, instance_state: str | None) -> dict[str, Any]:
    if instance_state == "running":
        first_boot = "WAITING" if now < launched.booted_at else "SUCCEEDED"
    else:
        first_boot = "STOPPED" if instance_state == "stopped" else "UNKNOWN"
    return {"ec2InstanceID": launched.instance_id, "jobID": launched.job_id, "firstBoot": first_boot}


class Tagged(Protocol):
    """A resource with tags."""

    arn: str
    tags: dict[str, str]


def shown_tags(resource: Tagged) -> dict[str, str]:
    """The tags of a job or a server as the API shows them."""
    extra = {"resourceArn": resource.arn} if configured.settings().arn_in_tags == "present" else {}
    return resource.tags | extra


def _data_replication_info(copy: Replica, machine: Machine, *, disconnected: bool) -> dict[str, Any]:
    zeroed = disconnected and configured.settings().replica_totals == "zeroed"
    steps = [{"name": name, "status": status} for name, status in zip(INITIATION_STEPS, copy.steps, strict=True)]
    answer: dict[str, Any] = {
        "dataReplicationState": copy.state,
        "dataReplicationInitiation": {
            **stamped(startDateTime=copy.started, nextAttemptDateTime=copy.next_attempt),
            "steps": steps,
        },
        "replicatedDisks": [
            {
                "deviceName": device,
                "totalStorageBytes": 0 if zeroed else size,
                "replicatedStorageBytes": int(size * copy.copied),
                "rescannedStorageBytes": int(size * copy.rescanned),
                "backloggedStorageBytes": 0,
            }
            for device, size in machine.disks
        ],
        **stamped(lastSnapshotDateTime=copy.snapshot, etaDateTime=copy.eta),
    }
    if copy.lag is not None:
        answer["lagDuration"] = lag(copy.lag)
    if copy.trouble:
        raw = {"rawError": copy.trouble.raw_error} if copy.trouble.raw_error else {}
        answer["dataReplicationError"] = {"error": copy.trouble.code, **raw}
    return answer


def _source_properties(machine: Machine, copy: Replica) -> dict[str, Any]:
    hints: Mapping[str, str | None] = {
        "hostname": machine.hostname,
        "fqdn": machine.fqdn,
        "vmWareUuid": machine.vmware_uuid,
    }
    return {
        "lastUpdatedDateTime": timestamp(copy.seen),
        "recommendedInstanceType": RECOMMENDED_INSTANCE_TYPE,
        "identificationHints": {name: value for name, value in hints.items() if value},
        "networkInterfaces": [
            {"ips": [machine.ip], "isPrimary": True, "macAddress": machine.mac.replace(":", "-").upper()}
        ],
        "disks": [{"deviceName": device, "bytes": size} for device, size in machine.disks],
        "cpus": [{"cores": _CORES, "modelName": _CORE}],
        "ramBytes": _RAM,
        "os": {"fullString": machine.os},
    }
