"""The reading of Insights queries, which the runbook's are tried with."""

import pytest

from tests.insights import QueryError, lines_of, query

LOG = """\
{"timestamp": "2026-01-01T00:00:01Z", "event": "activity ended", "activity": "start_test", "outcome": "done", "seconds": 2.0}
{"timestamp": "2026-01-01T00:00:09Z", "event": "activity ended", "activity": "start_test", "outcome": "done", "seconds": 4.0}
{"timestamp": "2026-01-01T00:06:00Z", "event": "activity ended", "activity": "save_state", "outcome": "ApplicationError", "error": "Unavailable", "seconds": 1.0}
{"timestamp": "2026-01-01T00:07:00Z", "event": "request refused", "reasons": ["$.appName: expected a name"]}
"""  # noqa: E501  lines of a log
LINES = lines_of(LOG)


def test_lines_are_filtered_sorted_and_cut() -> None:
    found = query('fields activity, seconds | filter outcome = "done" | sort seconds desc | limit 1', LINES)
    assert found == [{"activity": "start_test", "seconds": 4.0}]


def test_a_line_without_the_field_meets_no_comparison() -> None:
    assert len(query('filter error != "NotYet"', LINES)) == 1
    assert len(query('filter outcome = "done" or error != "NotYet"', LINES)) == 3


def test_and_binds_closer_than_or_unless_parentheses_say_so() -> None:
    assert len(query('filter outcome = "done" or outcome != "done" and seconds > 1', LINES)) == 2
    assert len(query('filter (outcome = "done" or outcome != "done") and seconds > 2', LINES)) == 1


def test_like_takes_words_as_they_are_and_patterns_as_patterns() -> None:
    assert len(query('filter event like "activity"', LINES)) == 3
    assert query('filter event like "activ.ty"', LINES) == []
    assert len(query("filter event like /(?i)ACTIV.TY|refused/", LINES)) == 4
    assert len(query('filter activity in ["save_state", "put_events"]', LINES)) == 1


def test_statistics_are_by_group() -> None:
    found = query(
        "stats count(*) as times, avg(seconds) as average, max(seconds) by activity | sort times desc | limit 1", LINES
    )
    assert found == [{"activity": "start_test", "times": 2, "average": 3.0, "max(seconds)": 4.0}]
    assert [row["count(*)"] for row in query("stats count(*) by bin(5m)", LINES)] == [2, 2]
    assert query("stats count_distinct(activity) as kinds", LINES) == [{"kinds": 2}]


def test_members_of_lists_are_named_by_dots() -> None:
    assert query('fields reasons.0 | filter event = "request refused"', LINES) == [
        {"reasons.0": "$.appName: expected a name"}
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fields took", "no line has a field took"),
        ("filter took > 1", "no line has a field took"),
        ("stats count(*) as times by activity | sort seconds desc", "no line has a field seconds"),
        ("stats median(seconds)", "no function: median"),
        ("dedup activity", "no command: dedup"),
        ("sort seconds", "say asc or desc"),
        ("filter outcome ~ 1", "not understood: ~ 1"),
        ("fields activity seconds", "not understood: seconds"),
        ("limit many", "a number is expected, not many"),
    ],
)
def test_what_is_not_understood_is_an_error(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        query(text, LINES)
