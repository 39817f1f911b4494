"""MGN's post-launch actions: those that must succeed are waited for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities import records
from activities.errors import translated
from activities.running import in_words, look_again, now
from migration import policies
from migration.errors import VerificationError
from migration.models import Model
from migration.ports import PostLaunchAction, Replication, SourceServer, Where

_FAILED = "FAILED"
_SUCCESS = "SUCCESS"
_ACTION = "Look at the action in Systems Manager, put right what it names, then retry or roll back."


class AwaitPostLaunch(Model):
    """Wait for what the last launch of these records, a cutover or a test, does after it."""

    where: Where
    source_server_ids: tuple[str, ...]
    cutover: bool


class PostLaunchResults(Model):
    """The actions at one moment: those that need not succeed may have failed, or may run on."""

    at: datetime
    actions: tuple[PostLaunchAction, ...]


@dataclass
class PostLaunchActions:
    """Looks at what MGN runs on launched instances."""

    replication: Replication
    poll: timedelta

    @activity.defn
    @translated(VerificationError)
    def await_post_launch_actions(self, request: AwaitPostLaunch) -> PostLaunchResults:
        """One look an attempt; an action that must succeed and did not, at all or in time, is a VerificationError."""
        service = self.replication(request.where)
        servers = {one.source_server_id: one for one in records.read(service, request.source_server_ids)}
        jobs = {job for one in servers.values() if (job := one.cutover_job_id if request.cutover else one.test_job_id)}
        found = service.post_launch_actions(sorted(jobs)) if jobs else ()
        actions = [action for action in found if action.source_server_id in servers]
        needed = [action for action in actions if action.must_succeed]
        if failed := [action for action in needed if action.status == _FAILED]:
            words = _in_brief(failed, servers)
            raise VerificationError(f"post-launch actions that must succeed have failed: {words}", action=_ACTION)
        running = [action for action in needed if action.status != _SUCCESS]
        within = policies.POST_LAUNCH_WITHIN
        if running and now() < activity.info().scheduled_time + within:
            look_again(f"post-launch actions: {_in_brief(running, servers)}", self.poll)
        if running:
            words = f"post-launch actions that must succeed did not within {within}: {_in_brief(running, servers)}"
            raise VerificationError(words, action=_ACTION)
        return PostLaunchResults(at=now(), actions=tuple(actions))


def _in_brief(actions: Sequence[PostLaunchAction], servers: Mapping[str, SourceServer]) -> str:
    return in_words([f"{one.name} on {servers[one.source_server_id].label} ({one.in_words})" for one in actions])
