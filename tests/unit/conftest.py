"""What the unit tests share."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from migration.telemetry import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What this process logs, line by line, as it leaves it."""
    root, calm = logging.getLogger(), logging.getLogger("botocore")
    before = (root.handlers[:], root.level, calm.level)
    written = io.StringIO()
    configure_logging("INFO", written)
    yield written
    root.handlers[:], root.level, calm.level = before
    structlog.reset_defaults()
