"""Tags of everything that has an ARN."""

from collections.abc import Mapping

from .exceptions import ResourceNotFoundException, ValidationException
from .servers import Tagged
from .store import Store

_MOST_TAGS = 50


class TagOperations(Store):
    """The operations on tags."""

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        resource = self._tagged(arn)
        reserved = [key for key in tags if key.lower().startswith("aws:")]
        if reserved:
            raise ValidationException(
                "Tag keys must not begin with aws:", fields=[(f"tags.{key}", "is reserved") for key in reserved]
            )
        merged = resource.tags | tags
        if len(merged) > _MOST_TAGS:
            raise ValidationException("A resource has at most 50 tags", fields=[("tags", f"would be {len(merged)}")])
        resource.tags = merged

    def untag_resource(self, arn: str, keys: list[str]) -> None:
        resource = self._tagged(arn)
        resource.tags = {key: value for key, value in resource.tags.items() if key not in keys}

    def list_tags_for_resource(self, arn: str) -> dict[str, str]:
        return dict(self._tagged(arn).tags)

    def _tagged(self, arn: str) -> Tagged:
        stores: tuple[Mapping[str, Tagged], ...] = (
            self.servers,
            self.jobs,
            self.applications,
            self.waves,
            self.replication_templates,
            self.launch_templates,
            self.vcenter_clients,
            self.connectors,
        )
        resource_id = arn.rpartition("/")[2]
        for store in stores:
            known = store.get(resource_id)
            if known and known.arn == arn:
                return known
        raise ResourceNotFoundException("Resource", arn)
