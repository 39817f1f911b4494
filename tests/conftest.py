"""How the tests are spread over processes: a file stays together, and so does a folder whose tests share a world."""

from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_SHARED_WORLDS = frozenset({"e2e", "workflows"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test, for `--dist loadgroup`."""
    for item in items:
        place = item.path.relative_to(_TESTS)
        group = place.parts[0] if place.parts[0] in _SHARED_WORLDS else str(place)
        item.add_marker(pytest.mark.xdist_group(group))
