"""Structured logs: one JSON object a line, with the correlation id, and no secret in any of them.

Everything goes through the standard library's logging, the SDK's own lines too: workflow code logs through
`workflow.logger` (silent on replay), activities through structlog with the context that `activities/telemetry.py`
binds.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from math import isfinite
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from migration.redaction import REDACTED, redact_text

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|credential|cookie|session[-_]?id|(api|private)[-_]?key|signature",
    re.IGNORECASE,
)
_DEEPEST = 8
_CALM = ("botocore", "boto3", "urllib3", "httpx", "httpcore", "pyVmomi", "asyncio")


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process to the stream (standard error by default) as redacted JSON."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        flatten_temporal,
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared[:3], *shared[4:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # ASCII alone: whatever a text holds, a line stays one line, is read in one direction, and fits every encoding.
    renderer = structlog.processors.JSONRenderer(sort_keys=True)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CALM:
        logging.getLogger(name).setLevel(logging.WARNING)


def flatten_temporal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the migration, the step and the attempt the same way in the lines of workflows and of activities."""
    event.pop("temporal_log", None)  # its words are in the message
    for key in ("temporal_workflow", "temporal_activity"):
        context = event.pop(key, None)
        if not isinstance(context, dict):
            continue
        event.setdefault("migration_id", context.get("workflow_id"))
        event.setdefault("run_id", context.get("run_id") or context.get("workflow_run_id"))
        event.setdefault("attempt", context.get("attempt"))
        if "activity_type" in context:
            event.setdefault("activity", context["activity_type"])
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out, by the name of the key and by the shape of the text."""
    for key, value in list(event.items()):
        if not key.startswith("_"):  # structlog's own, which never leave
            event[key] = REDACTED if _SECRET_KEY.search(key) else _without_secrets(value)
    return event


def _without_secrets(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict | list | tuple) and depth >= _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            str(key): REDACTED if _SECRET_KEY.search(str(key)) else _without_secrets(one, depth + 1)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item, depth + 1) for item in value]
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    return redact_text(_shown(value))


def _shown(value: object) -> str:
    """An object as text, which it may refuse: a log line must not fail what it speaks of."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  see above
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
