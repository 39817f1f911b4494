"""Records outside AWS: DNS, the CMDB, change tickets, and Cloud Migration Factory."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from migration.formats import ConnectionName, DnsName, HostedZoneId, Name, RecordValue, RoleArn, ServerName, branch
from migration.request.base import Part
from migration.request.choices import CmdbSystem, DnsProvider, RecordType


class ToServers(Part):
    """The record names the launched servers' own addresses."""

    servers: Annotated[tuple[ServerName, ...], Field(min_length=1)] = Field(
        description="The servers whose addresses the record names; for a CNAME one of them."
    )


class ToAddress(Part):
    """The record has a fixed value, such as the address of a load balancer."""

    address: RecordValue


class Alias(Part):
    """An AWS resource that Route 53 resolves itself."""

    dns_name: DnsName
    hosted_zone_id: HostedZoneId


class ToAlias(Part):
    """The record is a Route 53 alias."""

    alias: Alias


def _shape(value: Any) -> str | None:
    fields = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return next((branch(field) for field in ("servers", "address", "alias") if field in fields), None)


DnsTo = Annotated[
    Annotated[ToServers, Tag(branch("servers"))]
    | Annotated[ToAddress, Tag(branch("address"))]
    | Annotated[ToAlias, Tag(branch("alias"))],
    Discriminator(
        _shape,
        custom_error_type="mismatch",
        custom_error_message="expected {expected}",
        custom_error_context={"expected": "an object with one of servers, address and alias", "at": ""},
    ),
]


class DnsRecord(Part):
    """A DNS record that is switched to the target."""

    provider: DnsProvider = Field(description="Who holds the zone.")
    connection: ConnectionName | None = Field(None, description="The connection of the settings, for rfc2136.")
    zone: DnsName = Field(description="The zone that holds the record.")
    zone_id: HostedZoneId | None = Field(None, description="Null: found by the zone's name.")
    role_arn: RoleArn | None = Field(None, description="The role that may change the zone. Null: the worker's own.")
    name: DnsName = Field(description="The record's full name, in the zone.")
    type: RecordType = Field(description="The record's type.")
    ttl: Annotated[int, Field(ge=0, le=2147483647)] = Field(
        60, description="Its time to live in seconds, from the switch on (RFC 2181, section 8)."
    )
    to: DnsTo = Field(description="What the record says after the switch.")
    reverse: bool = Field(False, description="True: the reverse (PTR) records too.")
    set_identifier: Name | None = Field(
        None, description="The set identifier of a record with a routing policy. Null: a simple record."
    )


class CmdbItem(Part):
    """The configuration item of one server."""

    server: ServerName
    id: Name = Field(description="The item's key in the CMDB.")
    target_id: Name | None = Field(None, description="The key of the item for the launched server, where there is one.")


class Cmdb(Part):
    """The configuration management database that is kept true."""

    system: CmdbSystem = Field(CmdbSystem.NONE, description="`none`: no CMDB is touched.")
    connection: ConnectionName | None = Field(
        None, description="The connection of the settings. Null: the only one of its kind."
    )
    items: tuple[CmdbItem, ...] = Field((), description="The items of the servers.")


class ChangeTicket(Part):
    """The change ticket that must be approved, and not on hold, before the cutover."""

    system: Literal["servicenow"] = Field("servicenow", description="Where the ticket lives.")
    connection: ConnectionName | None = Field(
        None, description="The connection of the settings. Null: the only one of its kind."
    )
    number: Name = Field(description="The ticket's number, such as CHG0030001.")


class CmfLink(Part):
    """The wave in AWS Cloud Migration Factory that hears of this migration."""

    connection: ConnectionName | None = Field(
        None, description="The connection of the settings. Null: the only one of its kind."
    )
    wave_id: Name = Field(description="CMF's own key of the wave; not our `waveId`.")
