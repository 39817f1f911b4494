"""Health checks as a request has them."""

import json
from typing import Any

from pydantic import TypeAdapter

from migration.request import HealthCheck

_READ: TypeAdapter[HealthCheck] = TypeAdapter(HealthCheck)


def a_check(server: str, kind: str = "http", **fields: Any) -> HealthCheck:
    """The check that this JSON means; an http one asks for `/` on port 80 when nothing else is said."""
    url = {"url": "http://{privateIp}/"} if kind == "http" else {}
    return _READ.validate_json(json.dumps({"type": kind, "server": server, **url, **fields}))
