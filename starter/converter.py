"""How values and failures become Temporal's: pydantic models as JSON, and no secret in the words of any failure."""

from dataclasses import replace

from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter, PayloadConverter

from migration.redaction import redact_text


class RedactedFailures(DefaultFailureConverter):
    """What has a secret's shape is taken out, also of exceptions that nobody expected and of their causes."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Fill in the failure; called for each cause as well."""
        super().to_failure(exception, payload_converter, failure)
        failure.message = redact_text(failure.message)
        failure.stack_trace = redact_text(failure.stack_trace)


DATA_CONVERTER = replace(pydantic_data_converter, failure_converter_class=RedactedFailures)
