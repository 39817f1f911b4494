"""The catalogue of findings, and the page that is written from it."""

from migration.findings import FindingCode, Severity
from migration.findings.catalogue import CATALOGUE, document, finding


def test_every_code_has_its_line_in_the_catalogue() -> None:
    assert set(CATALOGUE) == set(FindingCode)


def test_the_page_has_one_row_for_each_code() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [code.value for code in CATALOGUE]
    assert all(row.count("|") == 5 for row in rows)


def test_a_finding_is_as_grave_as_its_code_and_says_what_to_do() -> None:
    found = finding(FindingCode.SUBNET_FULL, "subnet-1 has no free addresses", subject="subnet-1")
    assert (found.severity, found.action) == (Severity.CRITICAL, "Free addresses, or name a larger subnet.")
    assert found.key == "SUBNET_FULL/subnet-1"
    assert finding(FindingCode.LOOK_REFUSED, "denied", action="Allow it.").action == "Allow it."
