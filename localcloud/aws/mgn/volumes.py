"""What volumes a server's disks become when its launch template is given a mapping for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .exceptions import ValidationException

_PROVISIONED = frozenset({"io1", "io2", "gp3"})
_EC2_NAMES = {
    "volumeType": "VolumeType",
    "iops": "Iops",
    "throughput": "Throughput",
    "volumeInitializationRate": "VolumeInitializationRate",
}


@dataclass(frozen=True)
class VolumeDefaults:
    """A kind of volume for disks up to so many GiB, and one for larger disks.

    The members of a configuration are those of the service model's SourceServerVolumeConfiguration.
    """

    small_up_to: int = 0
    small: Mapping[str, Any] = field(default_factory=dict)
    large: Mapping[str, Any] = field(default_factory=dict)

    def mapping(self, device: str, gib: int) -> dict[str, Any]:
        """The launch template's BlockDeviceMapping for a disk."""
        chosen = self.small if gib <= self.small_up_to else self.large
        named = {name: chosen[member] for member, name in _EC2_NAMES.items() if member in chosen}
        goes = chosen.get("deleteOnTermination", "ENABLED") == "ENABLED"
        return {
            "DeviceName": device,
            "Ebs": {"VolumeType": "gp3", **named, "VolumeSize": gib, "DeleteOnTermination": goes},
        }

    def describe(self) -> dict[str, Any]:
        """The service model's launch configuration defaults, without the server's id; what is empty is left out."""
        configurations = {"smallVolumeConfiguration": dict(self.small), "largeVolumeConfiguration": dict(self.large)}
        return {"smallVolumeMaxSize": self.small_up_to, **{name: it for name, it in configurations.items() if it}}


def check_volume(field_name: str, configuration: Mapping[str, Any]) -> None:
    """Refuse a speed that the type of volume does not have."""
    kind = configuration.get("volumeType", "gp3")
    wrong = []
    if "iops" in configuration and kind not in _PROVISIONED:
        wrong.append((f"{field_name}.iops", f"is for {', '.join(sorted(_PROVISIONED))}, not {kind}"))
    if "throughput" in configuration and kind != "gp3":
        wrong.append((f"{field_name}.throughput", f"is for gp3, not {kind}"))
    if wrong:
        raise ValidationException("The volume cannot have that speed", fields=wrong)
