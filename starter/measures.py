"""What a worker measures of itself beyond what its workflows count; nothing, where no metrics are served."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from temporalio.client import Client

from activities.lags import LagsSeen
from migration import metrics
from migration.metrics import By
from migration.ports import CallObserver
from migration.settings import Settings
from starter.calls import CallCounter
from starter.census import Census
from starter.runtime import meter_of


@dataclass(frozen=True)
class Measures:
    """Whom the activities tell.

    Attributes:
        observe: Hears of each call to AWS; None: nobody does.
        lags: Keeps what replication was seen lately.
    """

    observe: CallObserver | None = None
    lags: LagsSeen = field(default_factory=LagsSeen)


async def measures(client: Client, settings: Settings, running: AsyncExitStack) -> Measures:
    """Begin to measure: what workflows count at 0, the census for as long as `running` is open."""
    if settings.metrics_address is None:
        return Measures()
    meter, measured = meter_of(client), LagsSeen()
    for by in (By.MIGRATION, By.CALLBACKS):
        # The labels that the SDK gives to what workflow code counts.
        own = {"namespace": client.namespace, "task_queue": settings.task_queue, "workflow_type": by}
        metrics.begin(meter.with_additional_attributes(own), by)
    await running.enter_async_context(Census(client, meter, measured).taken())
    return Measures(CallCounter(meter), measured)
