"""What a migration does, in which order, and where it ends."""

from migration.status import Phase, Side
from tests.workflows.stage import Stage

VALIDATE = ["check_prerequisites"]
PREPARE = ["install_agents", "find_source_servers", "configure_replication"]
REPLICATE = ["await_replication"]
TEST = [
    *("set_launch_targets", "start_test", "await_job", "await_status_checks", "await_health"),
    *("change_life_cycle", "terminate_targets", "await_termination"),
]
CUTOVER = [
    *("set_launch_targets", "await_replication", "shut_down_sources", "snapshot_sources", "start_cutover", "await_job"),
]
VERIFY = ["await_status_checks", "await_health"]
SWITCH = ["protect_targets", "change_records", "read_items", "record_move"]
SOAK = ["watch_health"]
FINALIZE = ["finalize_cutover"]
DECOMMISSION = ["archive", "remove_source_snapshots", "retire_sources", "retire_items"]


async def test_a_whole_migration_takes_every_step_in_order_and_leaves_the_target_serving(stage: Stage) -> None:
    migration = await stage.start()
    await migration.approve()
    result = await migration.ends()
    assert result.status is Phase.COMPLETED
    assert result.served_by is Side.TARGET
    assert migration.world.acted() == [
        *(*VALIDATE, *PREPARE, *REPLICATE, *TEST, *CUTOVER, *VERIFY, *SWITCH, *SOAK, *FINALIZE, *DECOMMISSION),
    ]
