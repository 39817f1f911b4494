"""The requests as moto hands them over: checked, answered by the backend, written by the service model."""

from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import camelcase_to_underscores, method_names_from_class

from .exceptions import AccessDeniedException, MgnError, ValidationException
from .models import MGNBackend, mgn_backends
from .validation import read_request

_WITHOUT_INITIALIZATION = frozenset(
    {"InitializeService", "TagResource", "UntagResource", "ListTagsForResource"},
)
"""The operations that model no UninitializedAccountException."""


class MGNResponse(BaseResponse):  # type: ignore[misc]  # moto has no types
    """One request; the method of an operation has its name in snake case."""

    use_raw_body = True

    def __init__(self) -> None:
        super().__init__(service_name="mgn")
        self.asked: dict[str, Any] = {}

    @property
    def backend(self) -> MGNBackend:
        backend: MGNBackend = mgn_backends[self.current_account][self.region]
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
        if not self._get_action():
            return super().call_action()
        try:
            self._accept(self._get_action())
        except MgnError as error:
            return self._refusal(error)
        with self.backend.lock:
            return super().call_action()

    def _accept(self, operation: str) -> None:
        """Check the request against the service model and the account."""
        if camelcase_to_underscores(operation) not in method_names_from_class(type(self)):
            raise ValidationException(f"The operation {operation} is not offered here", "unknownOperation")
        query = {key: self.normalized_request.args.getlist(key) for key in self.normalized_request.args}
        self.asked = read_request(operation, self.body, self.uri_match, query)
        if self.asked.get("accountID", self.current_account) != self.current_account:
            raise AccessDeniedException(f"{self.asked['accountID']} is not a managed account of this account")
        if operation not in _WITHOUT_INITIALIZATION:
            self.backend.require_initialized()
        self.backend.advance()

    def _refusal(self, error: MgnError) -> Any:
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

    def get_launch_configuration(self) -> ActionResult:
        return ActionResult(self.backend.get_launch_configuration(self._server_id))

    def update_launch_configuration(self) -> ActionResult:
        return ActionResult(self.backend.update_launch_configuration(self.asked))

    def get_replication_configuration(self) -> ActionResult:
        return ActionResult(self.backend.get_replication_configuration(self._server_id))

    def update_replication_configuration(self) -> ActionResult:
        return ActionResult(self.backend.update_replication_configuration(self.asked))

    def describe_jobs(self) -> ActionResult:
        return ActionResult(self.backend.describe_jobs(self.asked))

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
