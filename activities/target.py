"""The launched EC2 instances: fence, protect, preserve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities import jobs, records
from activities.errors import translated
from activities.running import Attempt, acting, in_words, look_again, now
from migration import policies
from migration.errors import CutoverError, RollbackError, VerificationError
from migration.marks import Mark
from migration.models import Model
from migration.ports import Clouds, Replication, ReplicationService, TargetCloud, TargetInstance, Where

KEEP_UNTIL_TAG = "migrator:keep-until"

_PENDING = "pending"
_RUNNING = "running"
_STOPPED = "stopped"
_FENCED = frozenset({_STOPPED, "terminated"})


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
    @translated(VerificationError)
    def await_status_checks(self, request: Instances) -> InstanceAddresses:
        """Wait for EC2's 2/2 status checks; an impaired or gone instance is a VerificationError."""
        found = self.clouds(request.where).instances(request.instance_ids)
        wrong = [words for one in request.instance_ids if (words := _beyond_hope(one, found.get(one)))]
        if wrong:
            raise VerificationError(
                f"EC2's status checks cannot pass: {in_words(wrong)}",
                action="Look at the instance's system log and screenshot in EC2, then retry or roll back.",
            )
        addresses = {one: ip for one, instance in found.items() if (ip := _address_when_ok(instance))}
        waiting = [_in_brief(found[one]) for one in request.instance_ids if one not in addresses]
        if not waiting:
            pairs = [InstanceAddress(instance_id=one, private_ip=addresses[one]) for one in request.instance_ids]
            return InstanceAddresses(instances=tuple(pairs))
        within = policies.STATUS_CHECKS_WITHIN
        if now() < activity.info().scheduled_time + within:
            look_again(f"status checks: {in_words(waiting)}", self.poll)
        raise VerificationError(f"EC2's status checks did not pass within {within}: {in_words(waiting)}")

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def fence_targets(self, request: TargetsOf) -> Fenced:
        """Stop every launched instance and wait until EC2 says stopped (or terminated, or that there is none).

        A launch that is still running may bring up another instance, so it is waited for first.
        """
        service, cloud = self.replication(request.where), self.clouds(request.where)
        with acting(self.act_bound) as attempt:
            launched = _launched(service, request.source_server_ids, self.poll)
            attempt.until(lambda: _stop_running(cloud, attempt, launched), self.poll)
            found = cloud.instances(launched)
        return Fenced(instance_ids=tuple(one for one in launched if one in found and found[one].state == _STOPPED))

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def protect_targets(self, request: Instances) -> None:
        """Termination protection on."""
        self._protect(request, on=True)
        protected = self.clouds(request.where).protected(request.instance_ids)
        if gone := [one for one in request.instance_ids if one not in protected]:
            raise CutoverError(f"gone, so not to be protected: {in_words(gone)}", action="Roll back: nothing serves.")

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def unprotect_targets(self, request: Instances) -> None:
        """Termination protection off; an instance that is gone is no error."""
        self._protect(request, on=False)

    def _protect(self, request: Instances, *, on: bool) -> None:
        cloud = self.clouds(request.where)
        with acting(self.act_bound) as attempt:
            for one, protected in cloud.protected(request.instance_ids).items():
                if protected is not on:
                    attempt.before_call()
                    cloud.protect(one, on=on)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def preserve_targets(self, request: PreserveTargets) -> Preserved:
        """Tagged multi-volume snapshots of stopped instances, waited for; the instances are kept."""
        cloud = self.clouds(request.where)
        with acting(self.act_bound) as attempt:
            _refuse_running(request.instance_ids, cloud.instances(request.instance_ids))
            snapshots: list[str] = []
            for one in request.instance_ids:
                attempt.before_call()
                snapshots += cloud.snapshot(one, request.mark.tags())
            attempt.before_call()
            # The term is no part of what snapshots are found by: an undo that is tried again later moves it.
            cloud.tag([*request.instance_ids, *snapshots], {**request.mark.tags(), KEEP_UNTIL_TAG: request.keep_until})
            attempt.until(
                lambda: None if cloud.snapshots_completed(snapshots) else f"snapshots: {in_words(snapshots)}", self.poll
            )
        return Preserved(snapshot_ids=tuple(snapshots))


def _launched(service: ReplicationService, source_server_ids: Sequence[str], poll: timedelta) -> list[str]:
    """List the instances that the records and their ended cutover jobs name."""
    named = sorted({job for one in records.read(service, source_server_ids) if (job := one.cutover_job_id)})
    launches = list(service.jobs(job_ids=named)) if named else []
    jobs.wait_out_jobs(launches, source_server_ids, poll)
    # Read after the jobs: what a job brought up at its very end is in the record by then.
    ours = set(source_server_ids)
    launched = {server.instance_id for job in launches for server in job.servers if server.source_server_id in ours}
    launched |= {record.instance_id for record in records.read(service, source_server_ids)}
    return sorted(one for one in launched if one is not None)


def _stop_running(cloud: TargetCloud, attempt: Attempt, instance_ids: Sequence[str]) -> str | None:
    """Ask what runs to stop, and name what has not stopped."""
    found = cloud.instances(instance_ids) if instance_ids else {}
    if running := [one for one, instance in found.items() if instance.state == _RUNNING]:
        attempt.before_call()
        cloud.stop(running)
        found = cloud.instances(instance_ids)
    still = [_in_brief(instance) for instance in found.values() if instance.state not in _FENCED]
    return f"not stopped yet: {in_words(still)}" if still else None


def _refuse_running(instance_ids: Sequence[str], found: Mapping[str, TargetInstance]) -> None:
    """A snapshot of a running target would lack its last writes; one of a gone target cannot be taken."""
    states = {one: found[one].state if one in found else "gone" for one in instance_ids}
    wrong = [f"{one} is {state}" for one, state in states.items() if state != _STOPPED]
    if wrong:
        raise RollbackError(
            f"only stopped instances are preserved: {in_words(wrong)}",
            action="Stop what runs and retry; what is gone can only be skipped.",
        )


def _beyond_hope(instance_id: str, instance: TargetInstance | None) -> str | None:
    if instance is None:
        return f"{instance_id} is gone"
    hopeless = instance.state not in {_PENDING, _RUNNING} or instance.status_checks == "impaired"
    return _in_brief(instance) if hopeless else None


def _address_when_ok(instance: TargetInstance) -> str | None:
    ok = instance.state == _RUNNING and instance.status_checks == "ok"
    return instance.private_ip if ok else None


def _in_brief(instance: TargetInstance) -> str:
    return f"{instance.instance_id} {instance.state} {instance.status_checks}"
