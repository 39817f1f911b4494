"""A message of the request queue, opened: the request in it, what came with it, and the ids to find it by."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from adapters.sqs import CORRELATION_ID, TRACEPARENT, Message
from migration.correlation import Origin, fit_correlation_id, new_correlation_id
from migration.envelopes import Envelope, open_envelope
from migration.formats import CallbackUrl, MigrationId, SecretReference
from migration.json_text import read_json

_MIGRATION_ID: TypeAdapter[str] = TypeAdapter(MigrationId)
_CALLBACK_URL: TypeAdapter[str] = TypeAdapter(CallbackUrl)
_SECRET: TypeAdapter[str] = TypeAdapter(SecretReference)


@dataclass(frozen=True)
class Incoming:
    """One message. What it says of itself is read field by field, whatever else is wrong with it."""

    message: Message

    @cached_property
    def envelope(self) -> Envelope:
        """What it holds."""
        return open_envelope(self.message.body)

    @cached_property
    def origin(self) -> Origin:
        """What came with its request: an envelope was written nearer to the sender than the message was."""
        attributes = self.message.attributes
        traces = (self.envelope.traceparent, attributes.get(TRACEPARENT))
        return Origin.of(attributes.get(CORRELATION_ID), *traces)

    @cached_property
    def migration_id(self) -> str | None:
        """The id of the migration that it asks for, if it is one."""
        return self._read("migrationId", _MIGRATION_ID)

    @cached_property
    def correlation_id(self) -> str:
        """The id that the migration gets, or would get; a new one where nothing says any."""
        own = fit_correlation_id(self._said.get("correlationId"))
        return own or self.origin.id or self.migration_id or new_correlation_id()

    @property
    def callback_url(self) -> str | None:
        """Whom to call about it, if that can be read."""
        return self._read("callbackUrl", _CALLBACK_URL)

    @property
    def callback_secret(self) -> str | None:
        """The secret to sign a call with, if the request names one of its own."""
        return self._read("callbackSecret", _SECRET)

    @cached_property
    def _said(self) -> dict[str, Any]:
        """The request's fields that can be read without a doubt."""
        document, faults = read_json(self.envelope.request)
        said = document if isinstance(document, dict) else {}
        return {name: value for name, value in said.items() if (name,) not in faults}

    def _read(self, name: str, kind: TypeAdapter[str]) -> str | None:
        try:
            return kind.validate_python(self._said.get(name))
        except PydanticValidationError:
            return None
