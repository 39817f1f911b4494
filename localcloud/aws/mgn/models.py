"""The backend that moto finds: one for each account and region."""

from moto.core.base_backend import BackendDict

from .group_operations import GroupOperations


class MGNBackend(GroupOperations):
    """Application Migration Service of one account in one region."""


mgn_backends = BackendDict(MGNBackend, "mgn")
