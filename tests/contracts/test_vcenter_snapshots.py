"""The snapshots of a whole inventory, by the beginning of their names."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr

from adapters.vcenter import VCenter
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import build_world
from migration.settings import Connection

MACHINES = build_world(249, applications=2, servers=1).machines


@pytest.fixture
def vcenter() -> Iterator[VCenter]:
    simulator = VCenterSimulator(MACHINES, Ledger(), FaultPlan(), on_change=lambda *_: None)
    simulator.start()
    connection = Connection(url=simulator.url, username=USERNAME, password=SecretStr(PASSWORD))
    with closing(VCenter(connection)) as vcenter:
        yield vcenter
    simulator.stop()


def test_snapshots_are_found_by_the_beginning_of_their_names_also_below_others(vcenter: VCenter) -> None:
    first, second = (machine.name for machine in MACHINES)
    assert vcenter.snapshots("") == ()
    vcenter.create_snapshot(first, "before the patch", "somebody else's")
    vcenter.create_snapshot(first, "migrator-mig-billing_1_cutover_1", "ours, a child of it")
    vcenter.create_snapshot(second, "migrator-mig-shop_1_cutover_1", "ours")
    assert vcenter.snapshots("migrator-") == (
        (first, "migrator-mig-billing_1_cutover_1"),
        (second, "migrator-mig-shop_1_cutover_1"),
    )
    vcenter.remove_snapshot(second, "migrator-mig-shop_1_cutover_1")
    assert [vm for vm, _ in vcenter.snapshots("migrator-")] == [first]
