"""The catalogue of findings, and the page that is written from it."""

from pathlib import Path

import pytest

from migration.findings import FindingCode, Severity, __main__
from migration.findings.catalogue import CATALOGUE, document, finding


def test_every_code_has_its_line_in_the_catalogue() -> None:
    assert set(CATALOGUE) == set(FindingCode)


def test_the_committed_page_is_what_the_catalogue_says() -> None:
    assert __main__.PAGE.read_text(encoding="utf-8") == document(), "run `python -m migration.findings`"


def test_drift_is_told_by_the_exit_code_and_mended_by_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "findings.md"
    monkeypatch.setattr(__main__, "PAGE", page)
    assert __main__.main(["--check"]) == 1
    assert "has drifted" in capsys.readouterr().out
    assert not page.exists()
    assert __main__.main([]) == 0
    assert page.read_text(encoding="utf-8") == document()
    assert __main__.main(["--check"]) == 0


def test_the_page_has_one_row_for_each_code() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [code.value for code in CATALOGUE]
    assert all(row.count("|") == 5 for row in rows)


def test_a_finding_is_as_grave_as_its_code_and_says_what_to_do() -> None:
    found = finding(FindingCode.SUBNET_FULL, "subnet-1 has no free addresses", subject="subnet-1")
    assert (found.severity, found.action) == (Severity.CRITICAL, "Free addresses, or name a larger subnet.")
    assert found.key == "SUBNET_FULL/subnet-1"
    assert finding(FindingCode.LOOK_REFUSED, "denied", action="Allow it.").action == "Allow it."
