"""Which spans leave, and what they leave with: no look that found nothing, no poll, and no secret."""

import logging
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status
from opentelemetry.util.types import Attributes

from migration.redaction import redact_text
from migration.telemetry import redact

FOUND_NOTHING = "migrator.found_nothing"
"""On an attempt that ended with a benign failure: a look, after which there is another one."""

OUR_CONTEXT = ("migration_id", "correlation_id", "step", "entry", "mark", "activity", "attempt", "run_id")
"""What log lines say of a migration, and spans in the same words."""

URLS = frozenset({"http.url", "url.full"})
_OF_TEMPORAL = "temporalWorkflowID"
_UNASKED = ("QueryWorkflow:", "HandleQuery:")
_MOST_OF_ONE = 500
"""Spans of one attempt that are held back until it ends; further ones leave at once."""

logger = structlog.get_logger("tracing")


class KeptSpans(SpanProcessor):
    """Hands on what a process did of its own within one attempt, message or command, when that has ended.

    A migration that waits looks once a minute, for weeks: of these looks only those leave that found something.
    """

    def __init__(self, onward: SpanProcessor) -> None:
        """`onward` gets the spans that are kept."""
        self._onward = onward
        self._lock = threading.Lock()
        self._first_of: dict[int, int] = {}
        self._held: dict[int, list[ReadableSpan]] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the SDK's signature
        """Say whose it is, and remember which span it belongs to."""
        known = structlog.contextvars.get_contextvars()
        span.set_attributes({name: known[name] for name in OUR_CONTEXT if name in known})
        if workflow_id := (span.attributes or {}).get(_OF_TEMPORAL):
            span.set_attribute("migration_id", workflow_id)
        if span.context is None:
            return
        with self._lock:
            own = span.context.span_id
            first = self._first_of.get(span.parent.span_id, own) if span.parent else own
            self._first_of[own] = first
            if first == own:
                self._held[own] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Hold it back, or hand it on with all that it held back."""
        if span.context is None:
            return
        with self._lock:
            own = span.context.span_id
            first = self._first_of.pop(own, own)
            held = self._held.get(first)
            if first != own and held is not None and len(held) < _MOST_OF_ONE:
                held.append(span)
                return
            leaving = [*self._held.pop(own, ()), span]
        if first != own or _is_kept(span):
            self.hand_on(leaving)

    def hand_on(self, spans: Sequence[ReadableSpan]) -> None:
        """Let spans leave."""
        for span in spans:
            self._onward.on_end(span)

    def shutdown(self) -> None:
        """Stop, with what is behind."""
        self._onward.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Let out what is behind."""
        return self._onward.force_flush(timeout_millis)


def _is_kept(first: ReadableSpan) -> bool:
    if (first.attributes or {}).get(FOUND_NOTHING) or first.name.startswith(_UNASKED):
        return False
    polls = first.parent is None and first.kind is SpanKind.CLIENT and _OF_TEMPORAL not in (first.attributes or {})
    return not polls


class LeavingSpans(SpanExporter):
    """Takes out of spans what log lines must not say either, and speaks of a collector that is away once."""

    def __init__(self, exporter: SpanExporter) -> None:
        """`exporter` sends them; its own words about every failed try are not repeated."""
        self._exporter = exporter
        self._is_away = False
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them. What cannot be sent is lost: nothing waits for it."""
        result = self._exporter.export([_without_secrets(span) for span in spans])
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            logger.warning("traces cannot be sent, and are dropped until they can", spans=len(spans))
        elif self._is_away and not is_away:
            logger.info("traces are sent again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Hold nothing back."""
        return self._exporter.force_flush(timeout_millis)


def _without_secrets(span: ReadableSpan) -> ReadableSpan:
    description = span.status.description
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean(span.attributes),
        events=[Event(event.name, _clean(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redact_text(description) if description else None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean(attributes: Attributes) -> dict[str, Any]:
    said: dict[str, Any] = dict(attributes or {})
    for name in URLS & said.keys():
        said[name] = _without_query(str(said[name]))
    return dict(redact(None, "", said))


def _without_query(url: str) -> str:
    return without_path(url) + urlsplit(url).path


def without_path(url: str) -> str:
    """Scheme, host and port of a URL, without the user and password that it may have."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
