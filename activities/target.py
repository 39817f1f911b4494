"""The launched EC2 instances: fence, protect, preserve."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from migration.marks import Mark
from migration.models import Model
from migration.ports import Clouds, Replication, Where


class TargetsOf(Model):
    """Whatever instances these records have launched for the cutover, found by asking MGN."""

    where: Where
    source_server_ids: tuple[str, ...]


class Instances(Model):
    """These instances."""

    where: Where
    instance_ids: tuple[str, ...]


class InstanceAddress(Model):
    """An instance and its private address."""

    instance_id: str
    private_ip: str


class InstanceAddresses(Model):
    """Addresses in the order that was asked."""

    instances: tuple[InstanceAddress, ...]


class Fenced(Model):
    """Which instances were found and are stopped now."""

    instance_ids: tuple[str, ...]


class PreserveTargets(Instances):
    """Snapshot these stopped instances under the mark and tag them as kept until then."""

    mark: Mark
    keep_until: str


class Preserved(Model):
    """The snapshots that hold what customers wrote to the target."""

    snapshot_ids: tuple[str, ...]


@dataclass
class Targets:
    """What is done to launched instances."""

    clouds: Clouds
    replication: Replication
    act_bound: timedelta
    poll: timedelta

    @activity.defn
    def await_status_checks(self, request: Instances) -> InstanceAddresses:
        """Wait for EC2's 2/2 status checks; an impaired or gone instance is a VerificationError."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def fence_targets(self, request: TargetsOf) -> Fenced:
        """Stop every launched instance and wait until EC2 says stopped (or terminated, or that there is none)."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def protect_targets(self, request: Instances) -> None:
        """Termination protection on."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def unprotect_targets(self, request: Instances) -> None:
        """Termination protection off; an instance that is gone is no error."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def preserve_targets(self, request: PreserveTargets) -> Preserved:
        """Tagged multi-volume snapshots of stopped instances, waited for; the instances are kept."""
        raise NotImplementedError
