"""What is said of Temporal in several places is the same in all of them."""

import json
import re
from datetime import timedelta

import pytest
import yaml

from migration.settings import Settings
from starter.namespace import SEARCH_ATTRIBUTES
from tests.deploy.programs import ROOT
from tools.temporal_server import BUILT

PAGE = ROOT.joinpath("docs", "temporal-in-production.md").read_text()
COMPOSE = ROOT.joinpath("deploy", "docker", "compose.yaml").read_text()
SETTINGS = re.findall(r"^\| `(\w+)` \| ([\d.]+)( s)? \|", PAGE, re.MULTILINE)


def test_the_search_attributes_are_those_that_migrations_set() -> None:
    assert json.loads(ROOT.joinpath("deploy", "temporal", "search-attributes.json").read_text()) == SEARCH_ATTRIBUTES


def test_one_version_of_the_server_is_tested_and_run() -> None:
    assert set(re.findall(r"image: .*temporalio/(?:server|admin-tools):([\d.]+)", COMPOSE)) == {BUILT}
    assert f"({BUILT} is what" in PAGE


@pytest.mark.parametrize("service", ["worker", "ingress"])
def test_containers_on_a_network_of_their_own_may_speak_to_temporal_in_plaintext(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in yaml.safe_load(COMPOSE)["services"][service]["environment"].items():
        monkeypatch.setenv(name, value)
    assert Settings().allow_plaintext_temporal


@pytest.mark.parametrize(("name", "value", "seconds"), SETTINGS)
def test_the_page_names_the_workers_settings_with_their_defaults(name: str, value: str, seconds: str) -> None:
    said = timedelta(seconds=float(value)) if seconds else int(value)
    assert Settings.model_fields[name].default == said


def test_the_page_explains_five_settings_of_the_worker() -> None:
    assert len(SETTINGS) == 5
