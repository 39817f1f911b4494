"""MGN's replies, read into what a migration knows of them. Times and durations are ISO 8601 text in this API."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from migration.errors import MigrationExecutionError
from migration.ports import JobEvent, JobServer, LaunchJob, SourceServer

DISCONNECTED = "DISCONNECTED"
CUTOVER = "CUTOVER"
STOPPED = "STOPPED"
STALLED = "STALLED"
OUT_OF_SERVICE = frozenset({DISCONNECTED, CUTOVER})

_DURATION = re.compile(
    r"P(?=.)(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def duration(text: str) -> timedelta:
    """Read a duration such as `P0D` (no lag at all), `PT5M3.5S` or `P1DT2H`.

    Raises:
        MigrationExecutionError: It is none that MGN is known to write.
    """
    if found := _DURATION.fullmatch(text):
        return timedelta(**{unit: float(number) for unit, number in found.groupdict(default="0").items()})
    raise MigrationExecutionError(f"MGN gave a duration that cannot be read: {text!r}")


def moment(text: str) -> datetime:
    """Read a time, which ends in `Z` or in an offset; one without either is UTC."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def source_server(item: Mapping[str, Any]) -> SourceServer:
    """Read one source server."""
    replication, life_cycle = item.get("dataReplicationInfo", {}), item.get("lifeCycle", {})
    hints = item.get("sourceProperties", {}).get("identificationHints", {})
    disks = replication.get("replicatedDisks", ())
    lag, eta = replication.get("lagDuration"), replication.get("etaDateTime")
    return SourceServer(
        source_server_id=item["sourceServerID"],
        user_provided_id=item.get("userProvidedID"),
        hostname=hints.get("hostname") or hints.get("fqdn"),
        archived=item.get("isArchived", False),
        life_cycle=life_cycle.get("state", ""),
        replication_state=replication.get("dataReplicationState", ""),
        lag=duration(lag) if lag else None,
        backlog_bytes=_sum(disks, "backloggedStorageBytes"),
        replicated_bytes=_sum(disks, "replicatedStorageBytes"),
        total_bytes=_sum(disks, "totalStorageBytes"),
        eta=moment(eta) if eta else None,
        replication_error=_error(replication.get("dataReplicationError") or {}),
        instance_id=item.get("launchedInstance", {}).get("ec2InstanceID"),
        test_job_id=_initiated(life_cycle, "lastTest"),
        cutover_job_id=_initiated(life_cycle, "lastCutover"),
        tags=item.get("tags", {}),
    )


def launch_job(item: Mapping[str, Any]) -> LaunchJob:
    """Read one job."""
    servers = tuple(
        JobServer(
            source_server_id=one["sourceServerID"],
            launch_status=one.get("launchStatus", ""),
            instance_id=one.get("launchedEc2InstanceID"),
        )
        for one in item.get("participatingServers", ())
    )
    return LaunchJob(
        job_id=item["jobID"],
        kind=item.get("type", ""),
        status=item.get("status", ""),
        servers=servers,
        tags=item.get("tags", {}),
    )


def job_event(item: Mapping[str, Any]) -> JobEvent:
    """Read one line of a job's log."""
    data = item.get("eventData", {})
    return JobEvent(
        event=item.get("event", ""), source_server_id=data.get("sourceServerID"), error=data.get("rawError")
    )


def _sum(disks: Iterable[Mapping[str, Any]], field: str) -> int:
    return sum(disk.get(field, 0) for disk in disks)


def _error(error: Mapping[str, str]) -> str | None:
    return ": ".join(filter(None, (error.get("error"), error.get("rawError")))) or None


def _initiated(life_cycle: Mapping[str, Any], which: str) -> str | None:
    job_id: str | None = life_cycle.get(which, {}).get("initiated", {}).get("jobID")
    return job_id
