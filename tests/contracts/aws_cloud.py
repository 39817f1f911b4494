"""The local AWS as our adapters reach it: by AWS's own environment, with a clock that tests turn."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from adapters.aws import AwsSessions
from localcloud.aws.mgn import MgnSettings, mgn_backends
from localcloud.aws.server import AwsServer
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Entry, Ledger
from localcloud.world import SourceMachine, build_world, reserve_network
from migration.ports import Where

REGION = "eu-central-1"
ACCOUNT = "123456789012"


class Cloud:
    """One local AWS, and the sessions of a worker that runs against it."""

    def __init__(self, network: int, servers: int, **mgn: Any) -> None:
        self.world = build_world(network, applications=12, servers=servers)
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.passed = 0.0
        began = time.time()
        settings = MgnSettings(**{"clock": lambda: began + self.passed, **mgn})
        self.aws = AwsServer(self.world, self.ledger, self.faults, settings=settings)
        self.sessions = AwsSessions()
        self.where = Where(account_id=ACCOUNT, region=REGION)

    def wait(self, mgn_seconds: float) -> None:
        """Let MGN's clock go on."""
        self.passed += mgn_seconds

    def register(self, name: str, user_provided_id: str, **reported: Any) -> str:
        """Install the agent on a machine of that name, past Systems Manager; the source server's id."""
        usual: dict[str, Any] = {
            "hostname": name,
            "fqdn": f"{name}.example.internal",
            "ip": "10.1.0.11",
            "mac": "00:50:56:00:00:01",
            "os": "Ubuntu 22.04.4 LTS",
            "disks": [("/dev/sda", 8 * 2**30)],
            "tags": {},
        }
        backend: Any = mgn_backends[ACCOUNT][REGION]
        return str(backend.register_agent(user_provided_id=user_provided_id, **(usual | reported)))

    def lose_reply(self, service: str, operation: str, *targets: str) -> None:
        """The next such call has its effect, and no answer."""
        for target in targets or (None,):
            self.faults.add(Rule(service=service, operation=operation, target=target, action="replyLost", times=1))

    def refuse(self, service: str, operation: str, status: int, code: str, message: str = "planned") -> None:
        """The next such call is refused."""
        self.faults.add(
            Rule(
                service=service,
                operation=operation,
                target=None,
                action="refuse",
                times=1,
                status=status,
                code=code,
                message=message,
            )
        )

    def calls(self, operation: str, target: str | None = None) -> list[Entry]:
        """What the ledger has of one operation."""
        return self.ledger.entries(operation=operation, target=target)

    @property
    def machines(self) -> tuple[SourceMachine, ...]:
        return self.world.machines


@contextmanager
def local_aws(*, servers: int = 1, **mgn: Any) -> Iterator[Cloud]:
    """A local AWS of its own, with so many servers an application, and the environment that points at it.

    Args:
        servers: Of each application.
        mgn: Settings of the local MGN: switches, quotas.
    """
    network, holder = reserve_network()
    cloud = Cloud(network, servers, **mgn)
    with holder, pytest.MonkeyPatch.context() as environment:
        cloud.aws.start()
        try:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE"):
                environment.delenv(name, raising=False)
            environment.setenv("AWS_ENDPOINT_URL", cloud.aws.url)
            environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
            environment.setenv("AWS_DEFAULT_REGION", REGION)
            yield cloud
        finally:
            cloud.sessions.close()
            cloud.aws.stop()
