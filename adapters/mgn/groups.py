"""MGN's applications and waves, found by name: Create* takes no token, so a name is looked for before and after."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.aws import aws_call
from migration.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_mgn import MgnClient

_AT_ONCE = 50
"""Ids that AssociateSourceServers and its like take in one call."""


class Groups:
    """Applications and waves of one account and region."""

    def __init__(self, reads: "MgnClient", acts: "MgnClient") -> None:
        """Take the client for looks, and the one for calls that must not repeat themselves."""
        self._reads = reads
        self._acts = acts

    def application(self, name: str) -> Mapping[str, Any]:
        """Find the application of that name that is not archived, or make it."""
        return _found_or_made(
            lambda: self._named("ListApplications", "list_applications", name),
            lambda: self._acts.create_application(name=name),
            "CreateApplication",
        )

    def wave(self, name: str) -> str:
        """Find the wave of that name that is not archived, or make it; returns its id."""
        wave: str = _found_or_made(
            lambda: self._named("ListWaves", "list_waves", name),
            lambda: self._acts.create_wave(name=name),
            "CreateWave",
        )["waveID"]
        return wave

    def put_servers(self, application_id: str, servers: Sequence[Mapping[str, Any]]) -> None:
        """Put source servers into an application, out of any other that they are in."""
        elsewhere = [one for one in servers if one.get("applicationID") != application_id]
        for other in sorted({one["applicationID"] for one in elsewhere if one.get("applicationID")}):
            for ids in _parts(one["sourceServerID"] for one in elsewhere if one.get("applicationID") == other):
                with aws_call("DisassociateSourceServers"):
                    self._reads.disassociate_source_servers(applicationID=other, sourceServerIDs=ids)
        for ids in _parts(one["sourceServerID"] for one in elsewhere):
            with aws_call("AssociateSourceServers"):
                self._reads.associate_source_servers(applicationID=application_id, sourceServerIDs=ids)

    def put_application(self, wave_id: str, application: Mapping[str, Any]) -> None:
        """Put an application into a wave, out of any other that it is in."""
        ids, other = [application["applicationID"]], application.get("waveID")
        if other == wave_id:
            return
        if other:
            with aws_call("DisassociateApplications"):
                self._reads.disassociate_applications(waveID=other, applicationIDs=ids)
        with aws_call("AssociateApplications"):
            self._reads.associate_applications(waveID=wave_id, applicationIDs=ids)

    def _named(self, operation: str, method: str, name: str) -> Mapping[str, Any] | None:
        pages: Any = self._reads.get_paginator(method)  # type: ignore[call-overload]  # the stubs want a literal
        with aws_call(operation):
            for page in pages.paginate(filters={"isArchived": False}):
                for item in page["items"]:
                    if item["name"] == name and not item.get("isArchived"):
                        return dict(item)
        return None


def _found_or_made(
    find: Callable[[], Mapping[str, Any] | None], make: Callable[[], Any], operation: str
) -> Mapping[str, Any]:
    """Find, or make; a name that is taken all at once was made by a lost call or by a migration beside us."""
    if found := find():
        return found
    try:
        with aws_call(operation):
            return dict(make())
    except Conflict:
        if found := find():
            return found
        raise


def _parts(ids: Iterable[str]) -> list[list[str]]:
    whole = list(ids)
    return [whole[start : start + _AT_ONCE] for start in range(0, len(whole), _AT_ONCE)]
