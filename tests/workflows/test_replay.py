"""Recorded histories replay: a new version can go on with the migrations that are under way.

When one does not, the change breaks them: patch it (`workflow.patched`), or end them before it is deployed and
record anew with `python -m tests.workflows.record_histories`.
"""

import json

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.workflows.record_histories import HISTORIES, STORIES, name_of
from tests.workflows.stage import WORKFLOWS
from workflows.border import OneInput

RECORDED = {path.stem: path.read_text() for path in sorted(HISTORIES.glob("*.json"))}


async def replay(story: str, text: str) -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, interceptors=[OneInput()])
    await replayer.replay_workflow(WorkflowHistory.from_json(f"mig-{story}", text))


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_history_replays(name: str) -> None:
    await replay(story_of(name), RECORDED[name])


async def test_a_history_that_went_another_way_does_not_replay() -> None:
    recorded = json.loads(RECORDED["happy-path-3"])
    for event in recorded["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes", {})
        if scheduled.get("activityType", {}).get("name") == "shut_down_sources":
            scheduled["activityType"]["name"] = "start_cutover"
    with pytest.raises(NondeterminismError):
        await replay("happy-path", json.dumps(recorded))


def test_every_story_has_a_history_of_its_own() -> None:
    assert {story_of(name) for name in RECORDED} == {name_of(story) for story in STORIES}


def story_of(name: str) -> str:
    return name.rsplit("-", 1)[0]
