"""What the vocabulary has and this version does not offer: refused by the validate step, never ignored."""

from collections.abc import Iterator

from migration.request import (
    AgentInstall,
    CmdbSystem,
    DnsProvider,
    DnsRecord,
    MigrationRequest,
    Server,
    SourceType,
    ToAlias,
)

Refusal = tuple[str, str]
"""The JSON path of what is not offered, and what it is, in words."""


def unoffered(request: MigrationRequest) -> list[Refusal]:
    """List everything that the request asks for and this version does not offer."""
    return [
        *_whole_parts(request),
        *(
            refusal
            for i, server in enumerate(request.servers)
            for refusal in _of_server(f"$.source.servers[{i}]", server)
        ),
        *(refusal for i, record in enumerate(request.dns) for refusal in _of_record(f"$.dns[{i}]", record)),
    ]


def _whole_parts(request: MigrationRequest) -> Iterator[Refusal]:
    if request.source.type is not SourceType.VMWARE:
        yield "$.source.type", f"sources of type {request.source.type}"
    if request.cmdb.system is CmdbSystem.NETBOX:
        yield "$.cmdb.system", "NetBox as the CMDB"


def _of_server(path: str, server: Server) -> Iterator[Refusal]:
    if server.agent_install is AgentInstall.SSH:
        yield f"{path}.agentInstall", "installing the agent over SSH"
    if server.credential is not None:
        yield f"{path}.credential", "a credential of a server, which only SSH would use"


def _of_record(path: str, record: DnsRecord) -> Iterator[Refusal]:
    if record.provider is DnsProvider.RFC2136:
        yield f"{path}.provider", "DNS updates by RFC 2136"
    if isinstance(record.to, ToAlias):
        yield f"{path}.to.alias", "alias records"
    if record.reverse:
        yield f"{path}.reverse", "reverse DNS records"
