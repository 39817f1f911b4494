"""EC2 and its neighbours in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from migration.ports import Subnet, TargetInstance
from tests.fakes.calls import Faulty

_GOING = {"shutting-down", "terminated"}


class FakeCloud(Faulty):
    """One account and region. A stop takes one look, or for ever."""

    def __init__(self, account_id: str = "123456789012") -> None:
        """Start with nothing in it."""
        super().__init__()
        self.account_id = account_id
        self.known: dict[str, TargetInstance] = {}
        self.protections: set[str] = set()
        self.known_subnets: dict[str, Subnet] = {}
        self.groups: dict[str, str] = {}
        self.types: dict[str, frozenset[str]] = {}
        self.profiles: set[str] = set()
        self.key_problems: dict[str, str] = {}
        self.snapshots: dict[tuple[str, str], tuple[str, ...]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.snapshots_end = True
        self.stops = True

    def add(self, instance_id: str, **fields: Any) -> None:
        """Put an instance in: by default one that runs and has passed its status checks."""
        usual = {"state": "running", "private_ip": "10.2.0.5", "status_checks": "ok"}
        self.known[instance_id] = TargetInstance(instance_id=instance_id, **(usual | fields))

    def add_protected(self, instance_id: str) -> None:
        """Put an instance in that nobody can terminate."""
        self.add(instance_id)
        self.protections.add(instance_id)

    def edit(self, instance_id: str, **fields: Any) -> None:
        """Change an instance behind everybody's back."""
        self.known[instance_id] = self.known[instance_id].model_copy(update=fields)

    def caller(self) -> str:
        self.look("caller")
        return self.account_id

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        self.look("subnets")
        return {one: self.known_subnets[one] for one in subnet_ids if one in self.known_subnets}

    def security_groups(self, group_ids: Sequence[str]) -> Mapping[str, str]:
        return {one: self.groups[one] for one in group_ids if one in self.groups}

    def offered_instance_types(self, zone: str, types: Sequence[str]) -> frozenset[str]:
        return self.types.get(zone, frozenset()) & set(types)

    def key_problem(self, key_id: str) -> str | None:
        return self.key_problems.get(key_id)

    def profile_exists(self, name: str) -> bool:
        return name in self.profiles

    def instances(self, instance_ids: Sequence[str]) -> Mapping[str, TargetInstance]:
        self.look("instances")
        for one in instance_ids:
            if one in self.known and self.known[one].state == "stopping" and self.stops:
                self.edit(one, state="stopped")
        return {one: self.known[one] for one in instance_ids if one in self.known}

    def protected(self, instance_ids: Sequence[str]) -> Mapping[str, bool]:
        self.look("protected")
        return {one: one in self.protections for one in instance_ids if self._is_there(one)}

    def _is_there(self, instance_id: str) -> bool:
        return instance_id in self.known and self.known[instance_id].state not in _GOING

    def stop(self, instance_ids: Sequence[str]) -> None:
        running = [one for one in instance_ids if one in self.known and self.known[one].state == "running"]
        if running:
            with self.effect("stop", *running):
                for one in running:
                    self.edit(one, state="stopping")

    def protect(self, instance_id: str, *, on: bool) -> None:
        if self._is_there(instance_id) and (instance_id in self.protections) is not on:
            with self.effect("protect", instance_id, on):
                self.protections ^= {instance_id}

    def tag(self, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        with self.effect("tag", *resource_ids):
            for one in resource_ids:
                self.tags.setdefault(one, {}).update(tags)

    def snapshot(self, instance_id: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        key = (instance_id, str(sorted(tags.items())))
        if key not in self.snapshots:
            with self.effect("snapshot", instance_id):
                sets = sum(of == instance_id for of, _ in self.snapshots)
                name = f"snap-{instance_id}{f'-{sets + 1}' if sets else ''}"
                self.snapshots[key] = (f"{name}-root", f"{name}-data")
        return self.snapshots[key]

    def snapshots_completed(self, snapshot_ids: Sequence[str]) -> bool:
        return self.snapshots_end


class PopulatedCloud(FakeCloud):
    """A cloud in which every instance that is asked for runs, but those that were put in with another state."""

    def instances(self, instance_ids: Sequence[str]) -> Mapping[str, TargetInstance]:
        for instance_id in instance_ids:
            if instance_id not in self.known:
                self.add(instance_id)
        return super().instances(instance_ids)
