"""The operations on applications and waves."""

from collections.abc import Iterable
from typing import Any, TypeVar

from . import settings as configured
from .exceptions import ConflictException
from .groups import Application, Group, Wave, describe_application, describe_wave
from .job_operations import JobOperations
from .paging import page
from .servers import SourceServer
from .store import APPLICATION, SERVER, WAVE, refuse_archived, within_quota

AnyGroup = TypeVar("AnyGroup", Application, Wave)

_ACTIVE = {APPLICATION: "L-D5507441", WAVE: "L-9FD6E875"}
_ARCHIVED = {APPLICATION: "L-391504A2", WAVE: "L-BB9C7114"}
_SERVERS_IN_AN_APPLICATION, _APPLICATIONS_IN_A_WAVE = "L-90A3F9F5", "L-CBE9E36A"


class GroupOperations(JobOperations):
    """Applications of servers, and waves of applications."""

    def create_application(self, asked: dict[str, Any]) -> dict[str, Any]:
        application = self._created(APPLICATION, Application, self.applications, asked)
        return self._application_view(application)

    def update_application(self, asked: dict[str, Any]) -> dict[str, Any]:
        application = self.application(asked["applicationID"])
        self._change(APPLICATION, application, self.applications, asked)
        return self._application_view(application)

    def archive_application(self, application_id: str) -> dict[str, Any]:
        application = self.application(application_id)
        self._refuse_members(APPLICATION, application, self._active_members(application))
        self._archive(APPLICATION, application, self.applications, archived=True)
        return self._application_view(application)

    def unarchive_application(self, application_id: str) -> dict[str, Any]:
        application = self.application(application_id)
        self._archive(APPLICATION, application, self.applications, archived=False)
        return self._application_view(application)

    def delete_application(self, application_id: str) -> None:
        application = self.application(application_id)
        self._refuse_members(APPLICATION, application, self._active_members(application))
        for server in self._servers_of(application_id):
            server.application_id = None
        del self.applications[application_id]

    def list_applications(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        ids, waves = filters.get("applicationIDs"), filters.get("waveIDs")
        listed = [
            each
            for each in self.applications.values()
            if (not ids or each.id in ids)
            and (not waves or each.wave_id in waves)
            and filters.get("isArchived", each.archived) is each.archived
        ]
        items, more = page("ListApplications", listed, lambda each: each.serial, asked)
        return {"items": [self._application_view(each) for each in items], **more}

    def associate_source_servers(self, application_id: str, server_ids: list[str]) -> None:
        application = self.application(application_id)
        servers = [self.server(server_id) for server_id in server_ids]
        _refuse_archived_group(APPLICATION, application)
        for server in servers:
            refuse_archived(server)
            if server.application_id not in {None, application_id}:
                _conflict(SERVER, server.id, f"belongs to application {server.application_id}")
        members = {each.id for each in self._servers_of(application_id)} | set(server_ids)
        within_quota(
            resource=(APPLICATION, application_id),
            wanted=len(members),
            quota=configured.settings().quotas.servers_in_an_application,
            code=_SERVERS_IN_AN_APPLICATION,
            what="Source servers per application",
        )
        for server in servers:
            server.application_id = application_id

    def disassociate_source_servers(self, application_id: str, server_ids: list[str]) -> None:
        self.application(application_id)
        servers = [self.server(server_id) for server_id in server_ids]
        for server in servers:
            if server.application_id == application_id:
                server.application_id = None

    def create_wave(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._wave_view(self._created(WAVE, Wave, self.waves, asked))

    def update_wave(self, asked: dict[str, Any]) -> dict[str, Any]:
        wave = self.wave(asked["waveID"])
        self._change(WAVE, wave, self.waves, asked)
        return self._wave_view(wave)

    def archive_wave(self, wave_id: str) -> dict[str, Any]:
        wave = self.wave(wave_id)
        self._refuse_members(WAVE, wave, (each.id for each in self._applications_of(wave_id) if not each.archived))
        self._archive(WAVE, wave, self.waves, archived=True)
        return self._wave_view(wave)

    def unarchive_wave(self, wave_id: str) -> dict[str, Any]:
        wave = self.wave(wave_id)
        self._archive(WAVE, wave, self.waves, archived=False)
        return self._wave_view(wave)

    def delete_wave(self, wave_id: str) -> None:
        wave = self.wave(wave_id)
        self._refuse_members(WAVE, wave, (each.id for each in self._applications_of(wave_id) if not each.archived))
        for application in self._applications_of(wave_id):
            application.wave_id = None
        del self.waves[wave_id]

    def list_waves(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        ids = filters.get("waveIDs")
        listed = [
            each
            for each in self.waves.values()
            if (not ids or each.id in ids) and filters.get("isArchived", each.archived) is each.archived
        ]
        items, more = page("ListWaves", listed, lambda each: each.serial, asked)
        return {"items": [self._wave_view(each) for each in items], **more}

    def associate_applications(self, wave_id: str, application_ids: list[str]) -> None:
        wave = self.wave(wave_id)
        applications = [self.application(each) for each in application_ids]
        _refuse_archived_group(WAVE, wave)
        for application in applications:
            _refuse_archived_group(APPLICATION, application)
            if application.wave_id not in {None, wave_id}:
                _conflict(APPLICATION, application.id, f"belongs to wave {application.wave_id}")
        within_quota(
            resource=(WAVE, wave_id),
            wanted=len({each.id for each in self._applications_of(wave_id)} | set(application_ids)),
            quota=configured.settings().quotas.applications_in_a_wave,
            code=_APPLICATIONS_IN_A_WAVE,
            what="Applications per wave",
        )
        for application in applications:
            application.wave_id = wave_id

    def disassociate_applications(self, wave_id: str, application_ids: list[str]) -> None:
        self.wave(wave_id)
        for application in [self.application(each) for each in application_ids]:
            if application.wave_id == wave_id:
                application.wave_id = None

    def _servers_of(self, *application_ids: str) -> list[SourceServer]:
        return [each for each in self.servers.values() if each.application_id in application_ids]

    def _applications_of(self, wave_id: str) -> list[Application]:
        return [each for each in self.applications.values() if each.wave_id == wave_id]

    def _active_members(self, application: Application) -> list[str]:
        return [each.id for each in self._servers_of(application.id) if not each.archived]

    def _application_view(self, application: Application) -> dict[str, Any]:
        return describe_application(application, self._servers_of(application.id), self.now())

    def _wave_view(self, wave: Wave) -> dict[str, Any]:
        applications = self._applications_of(wave.id)
        return describe_wave(wave, applications, self._servers_of(*(each.id for each in applications)), self.now())

    def _created(self, kind: str, of: type[AnyGroup], store: dict[str, AnyGroup], asked: dict[str, Any]) -> AnyGroup:
        _refuse_taken_name(kind, store, asked["name"])
        arn, now = self.new_arn(kind.lower(), "app" if kind == APPLICATION else "wave"), self.now()
        group_id = arn.rpartition("/")[2]
        self._within_group_quota(kind, group_id, store, archived=False)
        store[group_id] = of(
            id=group_id,
            arn=arn,
            serial=self.next_serial(),
            name=asked["name"],
            tags=dict(asked.get("tags", {})),
            created=now,
            modified=now,
            description=asked.get("description"),
        )
        return store[group_id]

    def _change(self, kind: str, group: AnyGroup, store: dict[str, AnyGroup], asked: dict[str, Any]) -> None:
        _refuse_archived_group(kind, group)
        others = {group_id: each for group_id, each in store.items() if each is not group}
        _refuse_taken_name(kind, others, asked.get("name", group.name))
        group.name = asked.get("name", group.name)
        group.description = asked.get("description", group.description)
        group.modified = self.now()

    def _archive(self, kind: str, group: AnyGroup, store: dict[str, AnyGroup], *, archived: bool) -> None:
        if group.archived is not archived:
            self._within_group_quota(kind, group.id, store, archived=archived)
            group.archived, group.modified = archived, self.now()

    @staticmethod
    def _within_group_quota(kind: str, group_id: str, store: dict[str, AnyGroup], *, archived: bool) -> None:
        quotas = configured.settings().quotas
        applications, waves = (
            (quotas.archived_applications, quotas.archived_waves)
            if archived
            else (quotas.active_applications, quotas.active_waves)
        )
        within_quota(
            resource=(kind, group_id),
            wanted=sum(each.archived is archived for each in store.values()) + 1,
            quota=applications if kind == APPLICATION else waves,
            code=(_ARCHIVED if archived else _ACTIVE)[kind],
            what=f"{'Archived' if archived else 'Active'} {kind.lower()}s",
        )

    @staticmethod
    def _refuse_members(kind: str, group: Group, members: Iterable[str]) -> None:
        listed = ", ".join(members)
        if listed:
            _conflict(kind, group.id, f"has members that are not archived: {listed}")


def _conflict(kind: str, resource_id: str, why: str) -> None:
    raise ConflictException(f"{kind} {resource_id} {why}", {(kind, resource_id): why})


def _refuse_archived_group(kind: str, group: Group) -> None:
    if group.archived:
        _conflict(kind, group.id, "is archived")


def _refuse_taken_name(kind: str, store: dict[str, AnyGroup], name: str) -> None:
    # Without regard to case: https://docs.aws.amazon.com/mgn/latest/ug/applications-commands-menu.html
    taken = next((each for each in store.values() if each.name.casefold() == name.casefold()), None)
    if taken:
        _conflict(kind, taken.id, f"has the name {name} already")
