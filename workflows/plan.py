"""PlanWorkflow: what a migration would find and touch, found out by the worker that would do it. Nothing is changed."""

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from activities.prerequisites import CheckPrerequisites, PrerequisiteChecks
    from migration import policies
    from migration.plan import Plan
    from migration.request import request_hash
    from workflows.border import read_plan_request
    from workflows.touches import touches


@workflow.defn
class PlanWorkflow:
    """Runs every check of the validate step, with no claim and no act; it ends with the plan."""

    @workflow.run
    async def run(self, payload: RawValue) -> Plan:
        """Check the request in the payload, and say what it would come to."""
        request = read_plan_request(payload)
        checked = await workflow.execute_activity_method(
            PrerequisiteChecks.check_prerequisites,
            CheckPrerequisites(request=request, mark=workflow.info().workflow_id, unclaimed=True),
            summary="check the prerequisites",
            **policies.PLAN,
        )
        return Plan(
            migration_id=request.migration_id,
            request_hash=request_hash(request),
            steps=request.planned_steps,
            findings=checked.findings,
            touches=touches(request, checked),
        )
