"""The Cloud Migration Factories of workflow tests: one in memory for each connection's name, and one for each test."""

import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from activities.cmf import FactoryUpdates
from migration.policies import ACT_BOUND
from tests.fakes.factory import WAVE, FakeFactory

_factories: defaultdict[str, FakeFactory] = defaultdict(FakeFactory)
_UPDATES = FactoryUpdates(lambda name: _factories[name], lambda name: name, ACT_BOUND)

FACTORY_ACTIVITIES: list[Callable[..., Any]] = [
    _UPDATES.tell_servers,
    _UPDATES.write_wave,
    _UPDATES.tell_wave,
    _UPDATES.still_running,
]
"""The product's own activities, over these factories."""


def a_factory(*servers: str) -> tuple[FakeFactory, dict[str, Any]]:
    """A factory of one's own with these servers in its wave, and the part of a request that names it."""
    connection = f"cmf-{uuid.uuid4().hex[:8]}"
    factory = _factories[connection] = FakeFactory(servers or ("billing-web-01",))
    return factory, {"connection": connection, "waveId": WAVE}
