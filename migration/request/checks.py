"""Health checks and hooks."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from migration.formats import Duration, HealthUrl, Name, Sentence, ServerName, branch
from migration.request.base import Part
from migration.request.choices import CheckTime, HookFailure, HookTime, HookType, Side

ALWAYS = tuple(CheckTime)


class _HealthCheck(Part):
    server: ServerName = Field(description="The server that is checked.")
    within: Duration = Field(
        timedelta(minutes=10), description="How long the check may take to succeed after a launch."
    )
    during: Annotated[tuple[CheckTime, ...], Field(min_length=1)] = Field(
        ALWAYS, description="The steps in which the check runs."
    )


class HttpCheck(_HealthCheck):
    """A GET that must answer with the expected status."""

    type: Literal["http"]
    url: HealthUrl = Field(description="`{privateIp}` stands for the launched server's address.")
    expect_status: Annotated[int, Field(ge=100, le=599)] = Field(200, description="The HTTP status that is healthy.")


class TcpCheck(_HealthCheck):
    """A TCP port that must accept a connection."""

    type: Literal["tcp"]
    port: Annotated[int, Field(ge=1, le=65535)]


class SsmCheck(_HealthCheck):
    """A command that must succeed on the launched server, through SSM."""

    type: Literal["ssm"]
    command: Sentence


def _kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return branch(kind) if kind in ("http", "tcp", "ssm") else None


HealthCheck = Annotated[
    Annotated[HttpCheck, Tag(branch("http"))]
    | Annotated[TcpCheck, Tag(branch("tcp"))]
    | Annotated[SsmCheck, Tag(branch("ssm"))],
    Discriminator(
        _kind,
        custom_error_type="mismatch",
        custom_error_message="expected {expected}",
        custom_error_context={"expected": "a health check of type http, tcp or ssm", "at": "type"},
    ),
]


class Hook(Part):
    """Something of the application's own that runs at a given moment."""

    at: HookTime = Field(description="When the hook runs.")
    on: Side = Field(description="The side on which it runs.")
    server: ServerName = Field(description="The server on which it runs.")
    type: HookType = Field(description="How it runs.")
    ref: Name = Field(description="The SSM document, or the URL of the webhook.")
    parameters: dict[Name, tuple[str, ...]] = Field({}, description="The parameters, each a list of strings.")
    within: Duration = Field(timedelta(minutes=10), description="How long it may take.")
    on_failure: HookFailure = Field(HookFailure.FAIL, description="Whether its failure fails the step.")
