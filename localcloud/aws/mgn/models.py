"""The backend that moto finds: one for each account and region."""

from moto.core.base_backend import BackendDict

from .group_operations import GroupOperations
from .inventory_operations import InventoryOperations
from .tag_operations import TagOperations
from .template_operations import TemplateOperations


class MGNBackend(GroupOperations, TemplateOperations, InventoryOperations, TagOperations):
    """Application Migration Service of one account in one region."""


mgn_backends = BackendDict(MGNBackend, "mgn")
