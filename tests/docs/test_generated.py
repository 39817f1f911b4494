"""One command writes every file that comes from code."""

from itertools import pairwise
from pathlib import Path

import pytest

from tools.generated import FILES, ROOT, main, stale
from tools.pages import payload, settings, steps

FILE = {"docs/page.md": lambda: "what the code says\n"}


def test_every_generated_file_is_what_the_code_says() -> None:
    assert list(stale(FILES, ROOT)) == [], "run `make generated`"


def test_a_file_that_is_behind_is_told_with_the_command_that_renews_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("what the code said")
    assert main(["--check"], FILE, tmp_path) == 1
    assert capsys.readouterr().out == "docs/page.md is behind the code: make generated\n"
    assert page.read_text() == "what the code said"


def test_a_file_that_is_missing_is_written_and_then_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], FILE, tmp_path) == 0
    assert capsys.readouterr().out == "docs/page.md written\n"
    assert main(["--check"], FILE, tmp_path) == 0
    assert (tmp_path / "docs" / "page.md").read_text() == "what the code says\n"


@pytest.mark.parametrize("page", [payload.document(), settings.document()], ids=["payload", "settings"])
def test_every_field_says_what_it_means(page: str) -> None:
    rows = [line.replace("\\|", "").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    means = 4 if "environment variable" in page else 3
    assert rows
    assert [row for row in rows if not row[means].strip(" |")] == []


def test_every_recorded_change_of_the_status_is_drawn() -> None:
    recorded = set()
    for events in steps.histories("*"):
        phases = [phase for event in events if (phase := steps.phase_of(event))]
        recorded |= {(one, other) for one, other in pairwise(phases) if one != other}
    assert recorded
    assert recorded - steps.changes() == set()


def test_every_step_that_acts_before_the_point_of_no_return_has_its_undo() -> None:
    acting = {"prepare", "test", "approve", "cutover", "switch"}
    assert {step for step, undos in steps.registered().items() if undos} == acting
