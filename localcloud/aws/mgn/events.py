"""What the service tells EventBridge: https://docs.aws.amazon.com/mgn/latest/ug/monitoring-event-bridge.html.

Delivery is best effort, as the service's own: what nobody has a rule for, or cannot be delivered, is gone.
"""

import json
import logging

from moto.events.models import events_backends

_LOG = logging.getLogger(__name__)

LAUNCH_RESULT = "MGN Source Server Launch Result"
LIFECYCLE_CHANGE = "MGN Source Server Lifecycle State Change"
STALLED_CHANGE = "MGN Source Server Data Replication Stalled Change"


class EventBus:
    """The default event bus of one account in one region."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region

    @property
    def heard(self) -> bool:
        """Whether there is a rule at all."""
        backend = events_backends[self._account_id][self._region]
        return bool(backend.describe_event_bus("default").rules)

    def put(self, detail_type: str, arn: str, detail: dict[str, str], at: float) -> None:
        """Tell of a source server what happened to it at a Unix time."""
        entry = {
            "Source": "aws.mgn",
            "DetailType": detail_type,
            "Resources": [arn],
            "Detail": json.dumps(detail),
            "Time": at,
        }
        try:
            events_backends[self._account_id][self._region].put_events([entry])
        except Exception:  # noqa: BLE001  a broken rule of somebody is no reason for a job to stand still
            _LOG.exception("the event %s of %s was not delivered", detail_type, arn)
