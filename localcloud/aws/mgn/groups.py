"""Applications and waves: how servers are grouped, and how a group as a whole is doing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .formats import stamped, timestamp
from .replication import Replica
from .servers import SourceServer


@dataclass
class Group:
    """What an application and a wave have in common."""

    id: str
    arn: str
    serial: int
    name: str
    tags: dict[str, str]
    created: float
    modified: float
    description: str | None = None
    archived: bool = False

    def describe(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "arn": self.arn,
            "name": self.name,
            "isArchived": self.archived,
            "creationDateTime": timestamp(self.created),
            "lastModifiedDateTime": timestamp(self.modified),
            "tags": dict(self.tags),
        }
        return answer if self.description is None else answer | {"description": self.description}


@dataclass
class Application(Group):
    """Servers that belong together; in one wave at most."""

    wave_id: str | None = None


@dataclass
class Wave(Group):
    """Applications that move together."""


def health(copies: Iterable[Replica]) -> str:
    """HEALTHY, LAGGING when a copy is behind, ERROR when one is stalled."""
    seen = list(copies)
    if any(each.trouble for each in seen):
        return "ERROR"
    return "LAGGING" if any(each.lag for each in seen) else "HEALTHY"


def progress(servers: Iterable[SourceServer]) -> str:
    """COMPLETED when all are cut over, NOT_STARTED while none has been launched for test or cutover."""
    seen = list(servers)
    if seen and all(each.state == "CUTOVER" for each in seen):
        return "COMPLETED"
    begun = any(each.test.job_id or each.cutover.job_id for each in seen)
    return "IN_PROGRESS" if begun else "NOT_STARTED"


def describe_application(application: Application, servers: list[SourceServer], now: float) -> dict[str, Any]:
    """The service model's Application."""
    status = {
        "lastUpdateDateTime": timestamp(now),
        "healthStatus": health(each.replica(now) for each in servers),
        "progressStatus": progress(servers),
        "totalSourceServers": len(servers),
    }
    answer = {"applicationID": application.id, **application.describe(), "applicationAggregatedStatus": status}
    return answer | ({"waveID": application.wave_id} if application.wave_id else {})


def describe_wave(
    wave: Wave, applications: list[Application], servers: list[SourceServer], now: float
) -> dict[str, Any]:
    """The service model's Wave; `servers` are those of all its applications."""
    copies = [each.replica(now) for each in servers]
    status = {
        "lastUpdateDateTime": timestamp(now),
        "healthStatus": health(copies),
        "progressStatus": progress(servers),
        "totalApplications": len(applications),
        **stamped(replicationStartedDateTime=min((c.started for c in copies if c.started is not None), default=None)),
    }
    return {"waveID": wave.id, **wave.describe(), "waveAggregatedStatus": status}
