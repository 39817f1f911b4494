"""The errors of MGN with every member that its service model has.

    MgnError
     |- UninitializedAccountException   400
     |- ValidationException             400  reason, fieldList
     |- ServiceQuotaExceededException   402  resourceId, resourceType, serviceCode, quotaCode, quotaValue
     |- AccessDeniedException           403
     |- ResourceNotFoundException       404  resourceId, resourceType
     |- ConflictException               409  resourceId, resourceType, errors
     |- ThrottlingException             429  serviceCode, quotaCode, retryAfterSeconds
     +- InternalServerException         500  retryAfterSeconds

moto's serialiser takes the service from the module of the exception's class, so they must be classes of this package.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from moto.core.exceptions import ServiceException

Reason = Literal["unknownOperation", "cannotParse", "fieldValidationFailed", "other"]

BUSY = "One or more of the Source Servers included in API call are currently being processed by a Job"
"""The one message that has been seen from the real service for a busy server."""


class MgnError(ServiceException):  # type: ignore[misc]  # moto has no types
    """What MGN refuses; `code` is the shape's name in the service model."""

    retry_after: int | None = None
    """Seconds; they travel as the header `Retry-After`, which the model names `retryAfterSeconds`."""


class UninitializedAccountException(MgnError):  # noqa: N818  the name in the service model
    code = "UninitializedAccountException"

    def __init__(self) -> None:
        super().__init__("Account is not initialized, call InitializeService first.")


class AccessDeniedException(MgnError):  # noqa: N818  the name in the service model
    code = "AccessDeniedException"


class ValidationException(MgnError):  # noqa: N818  the name in the service model
    """A request that says something impossible.

    Args:
        message: What is wrong, for a person.
        reason: The model's reason.
        fields: (name, message) of each field that is wrong.
    """

    code = "ValidationException"

    def __init__(
        self, message: str, reason: Reason = "fieldValidationFailed", fields: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.fieldList = [{"name": name, "message": text} for name, text in fields]


class ResourceNotFoundException(MgnError):  # noqa: N818  the name in the service model
    code = "ResourceNotFoundException"

    def __init__(self, resource_type: str, resource_id: str) -> None:
        super().__init__(f"{resource_type} with ID {resource_id} does not exist.")
        self.resourceId = resource_id
        self.resourceType = resource_type


class ConflictException(MgnError):  # noqa: N818  the name in the service model
    """The state does not allow it.

    Args:
        message: What is wrong, for a person.
        resources: Each resource that is in the way, (type, id) to why.
    """

    code = "ConflictException"

    def __init__(self, message: str, resources: Mapping[tuple[str, str], str]) -> None:
        super().__init__(message)
        (self.resourceType, self.resourceId) = next(iter(resources))
        self.errors = [
            {"message": text, "code": self.code, "resourceId": resource_id, "resourceType": resource_type}
            for (resource_type, resource_id), text in resources.items()
        ]


class ServiceQuotaExceededException(MgnError):  # noqa: N818  the name in the service model
    code = "ServiceQuotaExceededException"

    def __init__(self, message: str, *, resource: tuple[str, str], quota_code: str, quota_value: int) -> None:
        super().__init__(message)
        (self.resourceType, self.resourceId) = resource
        self.serviceCode = "mgn"
        self.quotaCode = quota_code
        self.quotaValue = quota_value


class ThrottlingException(MgnError):  # noqa: N818  the name in the service model
    """Too many calls.

    Args:
        message: What is wrong, for a person.
        retry_after: Seconds to wait.
        quota_code: The rate's code in Service Quotas; AWS publishes none for MGN.
    """

    code = "ThrottlingException"

    def __init__(self, message: str = "Rate exceeded", *, retry_after: int | None = None, quota_code: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.serviceCode = "mgn"
        self.quotaCode = quota_code


class InternalServerException(MgnError):  # noqa: N818  the name in the service model
    code = "InternalServerException"

    def __init__(self, message: str = "Internal server error", *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
