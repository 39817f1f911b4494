"""Who calls the local AWS, and what each has called: the permissions that an installation needs, seen rather than read.

A caller goes by the access key id that signed its calls, or by the role that it has assumed.
"""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from urllib.parse import parse_qsl

from localcloud.aws.calls import LOOK, Call
from migration.marks import MIGRATION_TAG

_ACCESS_KEY = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>")
_ROLE = re.compile(rb"<Arn>arn:aws:sts::\d{12}:assumed-role/([^/<]+)/[^<]+</Arn>")


class Callers:
    """Knows the sessions of assumed roles, and counts calls; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[str, str | None]] = {}
        self._calls: dict[str, Counter[str]] = defaultdict(Counter)

    def called(self, call: Call) -> None:
        """Count a call, whatever becomes of it."""
        operation = "SendCommand" if call.operation == LOOK else call.operation
        with self._lock:
            role, _ = self._sessions.get(call.caller, (call.caller, None))
            self._calls[role][f"{call.service}:{operation}"] += 1

    def assumed(self, request: bytes, reply: bytes) -> None:
        """Remember whose session an accepted AssumeRole has begun, by its tag."""
        key, role = _ACCESS_KEY.search(reply), _ROLE.search(reply)
        if key and role:
            given = dict(parse_qsl(request.decode("utf-8", "replace")))
            keys = [name for name, value in given.items() if name.startswith("Tags.") and value == MIGRATION_TAG]
            migration_id = given.get(keys[0].removesuffix("Key") + "Value") if keys else None
            with self._lock:
                self._sessions[key[1].decode()] = (role[1].decode(), migration_id)

    def name(self, access_key_id: str) -> str:
        """The caller's name in the ledger: the access key id, or ROLE/MIGRATION of a session that has such a tag."""
        with self._lock:
            role, migration_id = self._sessions.get(access_key_id, (access_key_id, None))
        return f"{role}/{migration_id}" if migration_id else role

    def report(self) -> Mapping[str, Mapping[str, int]]:
        """Caller, without the migration, to `service:Operation` to how often it was called."""
        with self._lock:
            return {caller: dict(sorted(calls.items())) for caller, calls in self._calls.items()}
