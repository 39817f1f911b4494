"""What workers and ingress serve has every metric and label that dashboards, alerts and CloudWatch speak of."""

from collections import defaultdict
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from migration.metrics import METRICS, Histogram
from migration.status import Phase
from starter.census import RUNNING_MIGRATIONS
from tests.deploy.collector import declared
from tests.deploy.promql import expressions, selected
from tests.e2e.local_cloud import TASK_QUEUE, LocalCloud, until
from tests.e2e.secrets import found_in
from tests.e2e.stories import Stories
from tests.e2e.test_rollback import goes_back_to_the_gate_and_then_completes

CENSUS_WITHIN = 90.0
_ADDED = {"namespace", "task_queue", "workflow_type", "service_name"}


async def served_by(cloud: LocalCloud) -> list[str]:
    """What the worker and the ingress serve, as it is."""
    async with httpx.AsyncClient(trust_env=False) as http:
        replies = [await http.get(f"http://{address}/metrics") for address in cloud.local["metrics"].values()]
    return [reply.raise_for_status().text for reply in replies]


async def scraped(cloud: LocalCloud) -> list[Sample]:
    """Every sample of it."""
    families = [family for text in await served_by(cloud) for family in text_string_to_metric_families(text)]
    return [sample for family in families for sample in family.samples]


async def labels_of(cloud: LocalCloud) -> dict[str, set[str]]:
    """The labels that the samples of a name have."""
    found = defaultdict[str, set[str]](set)
    for sample in await scraped(cloud):
        found[sample.name] |= sample.labels.keys()
    return dict(found)


async def a_bug_is_met(cloud: LocalCloud) -> None:
    """A workflow whose code the worker does not have: its tasks fail, as those of a bug do."""
    client = await cloud.client()
    handle = await client.start_workflow("NoSuchWorkflow", id="no-such-workflow", task_queue=TASK_QUEUE)

    async def is_counted() -> bool:
        return "temporal_workflow_task_execution_failed_total" in await labels_of(cloud)

    await until("a failed workflow task is counted", is_counted, within=60)
    await handle.terminate("the test is over")


async def test_each_metric_and_label_that_a_dashboard_or_an_alert_names_is_served(
    quiet_cloud: LocalCloud, stories: Stories
) -> None:
    await stories.told(goes_back_to_the_gate_and_then_completes)
    await a_bug_is_met(quiet_cloud)
    served = await labels_of(quiet_cloud)
    wrong = [
        one
        for text in expressions()
        for one in selected(text)
        if one.metric not in served or not one.labels <= served[one.metric]
    ]
    assert wrong == []


async def test_each_metric_of_ours_is_served_with_its_labels_and_no_other(
    quiet_cloud: LocalCloud, stories: Stories
) -> None:
    await stories.told(goes_back_to_the_gate_and_then_completes)
    served = await labels_of(quiet_cloud)
    for metric in METRICS:
        name = f"{metric.exported}_count" if isinstance(metric, Histogram) else metric.exported
        assert served.get(name, set()) - _ADDED == set(metric.labels), name
    known = {metric.exported for metric in METRICS}
    ours = {name for name in served if name.startswith("migrator_")}
    assert {name for name in ours if not any(name.startswith(one) for one in known)} == set()


async def test_each_metric_that_goes_to_cloudwatch_is_served_with_its_dimensions(quiet_cloud: LocalCloud) -> None:
    served = await labels_of(quiet_cloud)
    assert declared()
    assert [one for one in declared() if one.metric not in served or not one.labels <= served[one.metric]] == []


async def test_no_label_names_a_migration_or_a_person_and_none_holds_a_secret(quiet_cloud: LocalCloud) -> None:
    assert [held for text in await served_by(quiet_cloud) if (held := found_in(quiet_cloud, text.encode()))] == []
    values = {value for sample in await scraped(quiet_cloud) for value in sample.labels.values()}
    assert {value for value in values if "mig-" in value or "example.com" in value} == set()


async def test_a_command_beside_a_worker_serves_no_metrics_of_its_own(quiet_cloud: LocalCloud) -> None:
    taken = quiet_cloud.local["metrics"]["worker"]
    ran = await quiet_cloud.migrator("alive", MIGRATOR_METRICS_ADDRESS=taken)
    assert ran.code == 0, ran.err


async def test_the_census_says_what_temporal_says(quiet_cloud: LocalCloud) -> None:
    client = await quiet_cloud.client()

    async def told() -> bool:
        samples = await scraped(quiet_cloud)
        said = {one.labels["phase"]: one.value for one in samples if one.name == "migrator_migrations"}
        # One that no worker has taken yet has no phase: a story leaves one on a task queue of nobody's.
        count = (await client.count_workflows(f"{RUNNING_MIGRATIONS} AND MigrationPhase IS NOT NULL")).count
        return said.keys() == {phase for phase in Phase if not phase.ended} and sum(said.values()) == count

    await until("the census has counted what runs", told, within=CENSUS_WITHIN)


async def test_what_was_seen_in_this_session_was_counted(quiet_cloud: LocalCloud, stories: Stories) -> None:
    await stories.told(goes_back_to_the_gate_and_then_completes)
    counts = defaultdict[Any, float](float)
    for sample in await scraped(quiet_cloud):
        counts[sample.name] += sample.value
    ended = counts["migrator_migrations_ended_total"]
    assert 1 <= ended <= counts["migrator_migrations_started_total"]
    assert counts["migrator_rollbacks_total"] >= 1
    assert counts["migrator_downtime_seconds_count"] >= 2
