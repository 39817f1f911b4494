"""The requests as moto hands them over: checked, answered by the backend, written by the service model."""

import logging
from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from werkzeug.exceptions import HTTPException

from . import settings as configured
from .exceptions import (
    AccessDeniedException,
    ConflictException,
    InternalServerException,
    MgnError,
    ServiceQuotaExceededException,
    ValidationException,
)
from .hooks import ask
from .models import MGNBackend, mgn_backends
from .validation import models_error, read_request

_WITHOUT_INITIALIZATION = frozenset(
    {"InitializeService", "TagResource", "UntagResource", "ListTagsForResource"},
)
"""The operations that model no UninitializedAccountException."""

_LOG = logging.getLogger(__name__)


class MGNResponse(BaseResponse):  # type: ignore[misc]  # moto has no types
    """One request; the method of an operation has its name in snake case."""

    use_raw_body = True

    def __init__(self) -> None:
        super().__init__(service_name="mgn")
        self.asked: dict[str, Any] = {}

    @property
    def backend(self) -> MGNBackend:
        """That of the caller's account, or of the managed account that it names."""
        backend: MGNBackend = mgn_backends[self.asked.get("accountID", self.current_account)][self.region]
        return backend

    def _get_action(self) -> str:
        # Only method and path name the operation: moto would also take an Action out of a body.
        found = self._get_action_from_method_and_request_uri(self.normalized_request)
        if not found and self.method == "DELETE" and self.path.startswith("/tags/"):
            # moto's router finds nothing when a required query parameter is missing.
            self.uri_match = {"resourceArn": unquote(self.path.removeprefix("/tags/"))}
            return "UntagResource"
        return str(found or "")

    def call_action(self) -> Any:
        operation = self._get_action()
        try:
            return self._answer(operation)
        except ServiceQuotaExceededException as error:
            return self._refusal(_over_quota(operation, error))
        except MgnError as error:
            return self._refusal(error)
        except Exception:  # noqa: BLE001  the service answers with an error of its own whatever happens, never a page
            _LOG.exception("%s failed", operation)
            return self._refusal(InternalServerException())

    def _answer(self, operation: str) -> Any:
        method = camelcase_to_underscores(operation)
        if method not in method_names_from_class(type(self)):
            raise ValidationException(f"The operation {operation} is not offered here", "unknownOperation")
        query = {key: self.normalized_request.args.getlist(key) for key in self.normalized_request.args}
        asked = read_request(operation, self.body, self.uri_match, query)
        self._authorize(asked)
        self.asked = asked
        with self.backend.lock:
            if operation not in _WITHOUT_INITIALIZATION:
                self.backend.require_initialized()
            self.backend.advance()
            planned = ask(configured.faults().refusal, operation, asked, otherwise=None)
            if planned:
                raise planned
            status, headers, body = self.serialized(getattr(self, method)())
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    def _authorize(self, asked: dict[str, Any]) -> None:
        try:
            self._authenticate_and_authorize_normal_action("*")
        except HTTPException as error:
            raise AccessDeniedException(str(error.description)) from error
        own: MGNBackend = mgn_backends[self.current_account][self.region]
        account_id = asked.get("accountID", self.current_account)
        if account_id != self.current_account and account_id not in own.managed_accounts():
            raise AccessDeniedException(f"{account_id} is not a managed account of this account")

    def _refusal(self, error: MgnError) -> Any:
        if error.retry_after is not None:
            self.response_headers["Retry-After"] = str(error.retry_after)
        status, headers, body = self.serialized(ActionResult(error))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    @property
    def _server_id(self) -> str:
        return str(self.asked["sourceServerID"])

    @property
    def _job(self) -> tuple[list[str], dict[str, str]]:
        return self.asked["sourceServerIDs"], self.asked.get("tags", {})

    def initialize_service(self) -> ActionResult:
        self.backend.initialize_service()
        return EmptyResult()

    def describe_source_servers(self) -> ActionResult:
        return ActionResult(self.backend.describe_source_servers(self.asked))

    def update_source_server(self) -> ActionResult:
        return ActionResult(self.backend.update_source_server(self.asked))

    def delete_source_server(self) -> ActionResult:
        self.backend.delete_source_server(self._server_id)
        return EmptyResult()

    def change_server_life_cycle_state(self) -> ActionResult:
        target = self.asked["lifeCycle"]["state"]
        return ActionResult(self.backend.change_server_life_cycle_state(self._server_id, target))

    def start_test(self) -> ActionResult:
        return ActionResult({"job": self.backend.start_test(*self._job)})

    def start_cutover(self) -> ActionResult:
        return ActionResult({"job": self.backend.start_cutover(*self._job)})

    def terminate_target_instances(self) -> ActionResult:
        return ActionResult({"job": self.backend.terminate_target_instances(*self._job)})

    def finalize_cutover(self) -> ActionResult:
        return ActionResult(self.backend.finalize_cutover(self._server_id))

    def disconnect_from_service(self) -> ActionResult:
        return ActionResult(self.backend.disconnect_from_service(self._server_id))

    def mark_as_archived(self) -> ActionResult:
        return ActionResult(self.backend.mark_as_archived(self._server_id))

    def start_replication(self) -> ActionResult:
        return ActionResult(self.backend.start_replication(self._server_id))

    def stop_replication(self) -> ActionResult:
        return ActionResult(self.backend.stop_replication(self._server_id))

    def pause_replication(self) -> ActionResult:
        return ActionResult(self.backend.pause_replication(self._server_id))

    def resume_replication(self) -> ActionResult:
        return ActionResult(self.backend.resume_replication(self._server_id))

    def retry_data_replication(self) -> ActionResult:
        return ActionResult(self.backend.retry_data_replication(self._server_id))

    def update_source_server_replication_type(self) -> ActionResult:
        return ActionResult(
            self.backend.update_source_server_replication_type(self._server_id, self.asked["replicationType"])
        )

    def get_launch_configuration(self) -> ActionResult:
        return ActionResult(self.backend.get_launch_configuration(self._server_id))

    def update_launch_configuration(self) -> ActionResult:
        return ActionResult(self.backend.update_launch_configuration(self.asked))

    def get_launch_configuration_defaults(self) -> ActionResult:
        return ActionResult(self.backend.get_launch_configuration_defaults(self._server_id))

    def update_launch_configuration_defaults(self) -> ActionResult:
        return ActionResult(self.backend.update_launch_configuration_defaults(self.asked))

    def get_replication_configuration(self) -> ActionResult:
        return ActionResult(self.backend.get_replication_configuration(self._server_id))

    def update_replication_configuration(self) -> ActionResult:
        return ActionResult(self.backend.update_replication_configuration(self.asked))

    def create_replication_configuration_template(self) -> ActionResult:
        return ActionResult(self.backend.create_replication_configuration_template(self.asked))

    def describe_replication_configuration_templates(self) -> ActionResult:
        return ActionResult(self.backend.describe_replication_configuration_templates(self.asked))

    def update_replication_configuration_template(self) -> ActionResult:
        return ActionResult(self.backend.update_replication_configuration_template(self.asked))

    def delete_replication_configuration_template(self) -> ActionResult:
        self.backend.delete_replication_configuration_template(self.asked["replicationConfigurationTemplateID"])
        return EmptyResult()

    def create_launch_configuration_template(self) -> ActionResult:
        return ActionResult(self.backend.create_launch_configuration_template(self.asked))

    def describe_launch_configuration_templates(self) -> ActionResult:
        return ActionResult(self.backend.describe_launch_configuration_templates(self.asked))

    def update_launch_configuration_template(self) -> ActionResult:
        return ActionResult(self.backend.update_launch_configuration_template(self.asked))

    def delete_launch_configuration_template(self) -> ActionResult:
        self.backend.delete_launch_configuration_template(self.asked["launchConfigurationTemplateID"])
        return EmptyResult()

    def put_source_server_action(self) -> ActionResult:
        return ActionResult(self.backend.put_source_server_action(self.asked))

    def list_source_server_actions(self) -> ActionResult:
        return ActionResult(self.backend.list_source_server_actions(self.asked))

    def remove_source_server_action(self) -> ActionResult:
        self.backend.remove_source_server_action(self.asked)
        return EmptyResult()

    def put_template_action(self) -> ActionResult:
        return ActionResult(self.backend.put_template_action(self.asked))

    def list_template_actions(self) -> ActionResult:
        return ActionResult(self.backend.list_template_actions(self.asked))

    def remove_template_action(self) -> ActionResult:
        self.backend.remove_template_action(self.asked)
        return EmptyResult()

    def describe_jobs(self) -> ActionResult:
        return ActionResult(self.backend.describe_jobs(self.asked))

    def delete_job(self) -> ActionResult:
        self.backend.delete_job(self.asked["jobID"])
        return EmptyResult()

    def describe_job_log_items(self) -> ActionResult:
        return ActionResult(self.backend.describe_job_log_items(self.asked))

    def create_application(self) -> ActionResult:
        return ActionResult(self.backend.create_application(self.asked))

    def update_application(self) -> ActionResult:
        return ActionResult(self.backend.update_application(self.asked))

    def archive_application(self) -> ActionResult:
        return ActionResult(self.backend.archive_application(self.asked["applicationID"]))

    def unarchive_application(self) -> ActionResult:
        return ActionResult(self.backend.unarchive_application(self.asked["applicationID"]))

    def delete_application(self) -> ActionResult:
        self.backend.delete_application(self.asked["applicationID"])
        return EmptyResult()

    def list_applications(self) -> ActionResult:
        return ActionResult(self.backend.list_applications(self.asked))

    def associate_source_servers(self) -> ActionResult:
        self.backend.associate_source_servers(self.asked["applicationID"], self.asked["sourceServerIDs"])
        return EmptyResult()

    def disassociate_source_servers(self) -> ActionResult:
        self.backend.disassociate_source_servers(self.asked["applicationID"], self.asked["sourceServerIDs"])
        return EmptyResult()

    def create_wave(self) -> ActionResult:
        return ActionResult(self.backend.create_wave(self.asked))

    def update_wave(self) -> ActionResult:
        return ActionResult(self.backend.update_wave(self.asked))

    def archive_wave(self) -> ActionResult:
        return ActionResult(self.backend.archive_wave(self.asked["waveID"]))

    def unarchive_wave(self) -> ActionResult:
        return ActionResult(self.backend.unarchive_wave(self.asked["waveID"]))

    def delete_wave(self) -> ActionResult:
        self.backend.delete_wave(self.asked["waveID"])
        return EmptyResult()

    def list_waves(self) -> ActionResult:
        return ActionResult(self.backend.list_waves(self.asked))

    def associate_applications(self) -> ActionResult:
        self.backend.associate_applications(self.asked["waveID"], self.asked["applicationIDs"])
        return EmptyResult()

    def disassociate_applications(self) -> ActionResult:
        self.backend.disassociate_applications(self.asked["waveID"], self.asked["applicationIDs"])
        return EmptyResult()

    def tag_resource(self) -> ActionResult:
        self.backend.tag_resource(self.asked["resourceArn"], self.asked["tags"])
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        self.backend.untag_resource(self.asked["resourceArn"], self.asked["tagKeys"])
        return EmptyResult()

    def list_tags_for_resource(self) -> ActionResult:
        return ActionResult({"tags": self.backend.list_tags_for_resource(self.asked["resourceArn"])})

    def describe_vcenter_clients(self) -> ActionResult:
        return ActionResult(self.backend.describe_vcenter_clients(self.asked))

    def delete_vcenter_client(self) -> ActionResult:
        self.backend.delete_vcenter_client(self.asked["vcenterClientID"])
        return EmptyResult()

    def list_connectors(self) -> ActionResult:
        return ActionResult(self.backend.list_connectors(self.asked))

    def list_managed_accounts(self) -> ActionResult:
        return ActionResult(self.backend.list_managed_accounts(self.asked))


def _over_quota(operation: str, error: ServiceQuotaExceededException) -> MgnError:
    """The error as the operation models it: some know no quota, and answer with a conflict."""
    if configured.settings().over_quota == "always402" or models_error(operation, error.code):
        return error
    return ConflictException(error.message, {(error.resourceType, error.resourceId): error.message})
