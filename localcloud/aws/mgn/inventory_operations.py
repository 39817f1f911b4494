"""The operations on vCenter clients, connectors and managed accounts."""

from collections.abc import Mapping
from typing import Any

from . import settings as configured
from .inventory import Connector, VcenterClient
from .paging import page
from .store import VCENTER_CLIENT, Store, found


class InventoryOperations(Store):
    """What is installed elsewhere and merely listed here."""

    def install_vcenter_client(
        self, hostname: str, vcenter_uuid: str, datacenter: str, source_server_tags: Mapping[str, str] | None = None
    ) -> str:
        """Record a vCenter client, as its installer does, and return its id; `discover` gives it machines."""
        with self.lock:
            arn = self.new_arn("vcenter-client", "vcc")
            client = VcenterClient(
                id=arn.rpartition("/")[2],
                arn=arn,
                serial=self.next_serial(),
                hostname=hostname,
                vcenter_uuid=vcenter_uuid,
                datacenter=datacenter,
                source_server_tags=dict(source_server_tags or {}),
                tags={},
            )
            self.vcenter_clients[client.id] = client
            return client.id

    def describe_vcenter_clients(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = self.vcenter_clients.values()
        items, more = page("DescribeVcenterClients", known, lambda each: each.serial, asked)
        return {"items": [each.describe(self.now()) for each in items], **more}

    def delete_vcenter_client(self, client_id: str) -> None:
        del self.vcenter_clients[found(VCENTER_CLIENT, self.vcenter_clients, client_id).id]

    def install_connector(self, name: str, ssm_instance_id: str) -> str:
        """Record a connector, as its installer does, and return its id."""
        with self.lock:
            arn = self.new_arn("connector", "connector")
            connector = Connector(arn.rpartition("/")[2], arn, self.next_serial(), name, ssm_instance_id, {})
            self.connectors[connector.id] = connector
            return connector.id

    def list_connectors(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids = asked.get("filters", {}).get("connectorIDs")
        known = [each for each in self.connectors.values() if not ids or each.id in ids]
        items, more = page("ListConnectors", known, lambda each: each.serial, asked)
        return {"items": [each.describe() for each in items], **more}

    def managed_accounts(self) -> list[str]:
        """The accounts that this one may act for, itself not among them."""
        return sorted(configured.settings().managed_accounts.get(self.account_id, ()))

    def list_managed_accounts(self, asked: dict[str, Any]) -> dict[str, Any]:
        items, more = page("ListManagedAccounts", self.managed_accounts(), int, asked)
        return {"items": [{"accountId": each} for each in items], **more}
