"""The baseline: as many activities as a migration has, which do nothing, in the same shape on the same server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.worker import Worker

TASK_QUEUE = "bench-noop"


@activity.defn
def do_nothing(number: int) -> int:
    """Nothing."""
    return number


@workflow.defn
class NoopWorkflow:
    """One activity after the other."""

    @workflow.run
    async def run(self, activities: int) -> None:
        """Await so many activities."""
        for number in range(activities):
            await workflow.execute_activity(
                do_nothing, number, start_to_close_timeout=timedelta(minutes=1), summary=f"nothing {number}"
            )


async def main() -> None:
    """Run the baseline's worker until it is stopped."""
    from migration.settings import Settings  # noqa: PLC0415  the sandbox loads this file too
    from starter.client import connect  # noqa: PLC0415  the same

    client = await connect(Settings())
    with ThreadPoolExecutor(64) as executor:
        await Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[NoopWorkflow],
            activities=[do_nothing],
            activity_executor=executor,
            max_concurrent_activities=64,
        ).run()


if __name__ == "__main__":
    asyncio.run(main())
