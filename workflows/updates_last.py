"""The order in which a workflow hears of what came: updates last, wherever a task begins and ends for a worker.

The result of an activity has its place in the history; an update has none before it is accepted. A worker that goes on
from its cache may hear a result with one task and an update with the next; a worker that reads the history anew, both
with one task, or the other way round: sdk-core takes a task without commands, followed by another, for a heartbeat, and
a query may carry a workflow on to events whose task has not started. Within a task the SDK gives out updates before
results. So the same decision would lead to the same commands in another order, which sdk-core refuses (TMPRL1100), and
the migration would stand still until it is reset. An update that is given out last finds the same workflow each time.
"""

from collections.abc import Sequence
from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import Info

_ENDS = (
    "complete_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
    "continue_as_new_workflow_execution",
)


class UpdatesLast(WorkflowRunner):
    """Runs workflows as another runner does, but lets each hear of updates after everything else of a task.

    Workers and replayers need the same one: it is part of what a history means.
    """

    def __init__(self, runner: WorkflowRunner) -> None:
        """`runner` is one of the SDK's, with a sandbox or without."""
        super().__init__()
        self._runner = runner

    def prepare_workflow(self, defn: Any) -> None:
        """Look whether it can be run."""
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """One workflow, with that order."""
        return _UpdatesLast(self._runner.create_instance(det))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        """What fails a workflow, not its task."""
        self._runner.set_worker_level_failure_exception_types(types)


class _UpdatesLast(WorkflowInstance):
    def __init__(self, instance: WorkflowInstance) -> None:
        super().__init__()
        self._instance = instance

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Both parts of the activation as one: the commands of the updates follow those of the rest."""
        updates = [job for job in act.jobs if job.HasField("do_update")]
        rest = [job for job in act.jobs if not job.HasField("do_update")]
        if not updates or not rest or rest[0].HasField("initialize_workflow"):
            return self._instance.activate(act)  # one that comes with the start is heard even if that ends the workflow
        before = self._instance.activate(_part(act, rest))
        if not before.HasField("successful") or any(map(_ends, before.successful.commands)):
            return before  # an update that was not accepted is answered by the server, or goes to the next run
        after = self._instance.activate(_part(act, updates))
        if after.HasField("successful"):
            before.successful.commands.extend(after.successful.commands)
            before.successful.used_internal_flags.extend(after.successful.used_internal_flags)
            return before
        return after

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        return self._instance.get_thread_id()


def _part(act: WorkflowActivation, jobs: list[WorkflowActivationJob]) -> WorkflowActivation:
    part = WorkflowActivation()
    part.CopyFrom(act)
    del part.jobs[:]
    part.jobs.extend(jobs)
    return part


def _ends(command: WorkflowCommand) -> bool:
    return command.WhichOneof("variant") in _ENDS
