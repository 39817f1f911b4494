"""Systems Manager in memory, with machines on which the MGN agent can be installed."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from migration.errors import NotFound, SourcePreparationError
from migration.ports import CommandLook, CommandResult, ManagedInstance
from tests.fakes.calls import Faulty
from tests.fakes.mgn import FakeReplication

GOOD = {
    "root": "yes",
    "free_root": "20480",
    "free_tmp": "4096",
    "mgn": "open",
    "s3": "open",
    "staging": "silent",
    "dhcp": "yes",
}
"""What a machine answers on which the agent can be installed."""

_OPTION = re.compile(r"--user-provided-id (\S+)")


class FakeCommands(Faulty):
    """Managed instances by id; an installation that runs on one registers it with MGN."""

    def __init__(self, replication: FakeReplication) -> None:
        """Start without instances."""
        super().__init__()
        self.instances: dict[str, ManagedInstance] = {}
        self.scripts: list[str] = []
        self.failing: set[str] = set()
        self.answers: dict[str, str] = dict(GOOD)
        self.looks: list[tuple[str, str]] = []
        self.look_ends: SourcePreparationError | None = None
        self.exit_codes: dict[str, list[int]] = {}
        self.sent: dict[str, tuple[str, str, str, dict[str, list[str]]]] = {}
        self.command_looks: list[CommandLook] = []
        self.stopped: list[str] = []
        self._replication = replication

    def add(self, instance_id: str, name: str, *, online: bool = True) -> None:
        """Activate a machine."""
        self.instances[instance_id] = ManagedInstance(id=instance_id, name=name, online=online)

    def find(self, *, instance_id: str | None, name: str) -> ManagedInstance:
        for one in self.instances.values():
            if one.id == instance_id or (instance_id is None and one.name == name):
                return one
        raise NotFound(f"no managed instance {instance_id or name}")

    def run(self, instance_id: str, lines: Sequence[str], *, os: str, comment: str, within: timedelta) -> CommandResult:
        script = "\n".join(lines)
        if "changes nothing" in script:
            return self._look(instance_id, comment)
        if instance_id in self.failing:
            return CommandResult(command_id="c-1", exit_code=0, output="Installation failed.\nError details: no space")
        option = _OPTION.search(script)
        if option is None:
            return self._plain(instance_id, script, comment)
        with self.effect("run", instance_id, comment):
            self.scripts.append(script)
            source_server_id = f"s-{len(self.scripts):017}"
            self._replication.add(
                source_server_id, "STOPPED", replication_state="STOPPED", lag=None, user_provided_id=option[1]
            )
        return CommandResult(command_id="c-1", exit_code=0, output=f"The source server ID: {source_server_id}.")

    def _look(self, instance_id: str, comment: str) -> CommandResult:
        self.look("look")
        self.looks.append((instance_id, comment))
        if self.look_ends:
            raise self.look_ends
        output = "\n".join(f"{name}={value}" for name, value in self.answers.items())
        return CommandResult(command_id="c-2", exit_code=0, output=output)

    def _plain(self, instance_id: str, script: str, comment: str) -> CommandResult:
        """A line that installs nothing: ends as it is told, and is adopted by its comment where it has succeeded."""
        if ("run", instance_id, comment, script, 0) not in self.effects:
            codes = self.exit_codes.get(script, [0])
            code = codes.pop(0) if len(codes) > 1 else codes[0]
            with self.effect("run", instance_id, comment, script, code):
                pass
            return CommandResult(command_id=f"c-{len(self.effects)}", exit_code=code)
        return CommandResult(command_id=f"c-{len(self.effects)}", exit_code=0)

    def find_command(self, instance_id: str, comment: str) -> str | None:
        self.look("find_command")
        return next((one for one, sent in self.sent.items() if sent[:2] == (instance_id, comment)), None)

    def send(
        self,
        instance_id: str,
        document: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        comment: str,
        within: timedelta,
    ) -> str:
        command_id = f"c-{len(self.sent) + 1}"
        with self.effect("send", instance_id, comment):
            plain = {name: list(values) for name, values in parameters.items()}
            self.sent[command_id] = (instance_id, comment, document, plain)
        return command_id

    def look_at(self, command_id: str, instance_id: str) -> CommandLook:
        self.look("look_at")
        assert self.sent[command_id][0] == instance_id
        if not self.command_looks:
            return CommandLook(status="Success", ended=True, succeeded=True, exit_code=0)
        return self.command_looks.pop(0) if len(self.command_looks) > 1 else self.command_looks[0]

    def stop(self, command_id: str, instance_id: str) -> None:
        assert self.sent[command_id][0] == instance_id
        self.stopped.append(command_id)
