"""Secrets that are planted where a migration meets them, and known again wherever they turn up."""

import base64
import re
from collections.abc import Iterator

from localcloud.aws.seed import SECRET_KEY
from localcloud.change_requests import change_number
from tests.e2e.local_cloud import LocalCloud

CANARY = "canary4711"
"""In every secret that a system's error repeats."""

_BASIC = base64.b64encode(f"migrator:{CANARY}".encode()).decode()
_CLAIMS = base64.urlsafe_b64encode(f'{{"sub": "{CANARY}"}}'.encode()).decode().rstrip("=")
_JWT = f"eyJhbGciOiJSUzI1NiJ9.{_CLAIMS}.c2lnbmF0dXJl"
_SAID = (
    f"refused: Authorization: Basic {_BASIC}",
    f"AWS_SECRET_ACCESS_KEY={CANARY}agent AWS_SESSION_TOKEN={CANARY}session",
    f'Cookie: vmware_soap_session="{CANARY}cookie"',
    f"https://migrator:{CANARY}@vcenter.example.internal/sdk",
    f'{{"password": "{CANARY}"}} whsec_{CANARY} {_JWT}',
)
SAID = "; ".join(_SAID)
"""What an error says that repeats the agent's, the session's and the user's credentials."""

_OF_A_SESSION = re.compile(rb"\bASIA[A-Z0-9]{16}\b|FQoGZXIvYXdz|" + _BASIC.encode() + rb"|" + _CLAIMS.encode())


async def plant_secrets(cloud: LocalCloud, application: str) -> None:
    """Let each system that an application's migration meets answer once with an error full of secrets."""
    server, migration_id = f"{application}-web-01", f"mig-{application}"
    item = next(vm["cmdb_id"] for vm in cloud.local["vms"] if vm["name"] == server)
    for service, operation, target in (
        ("ssm", "SendCommand", server),
        ("mgn", "StartTest", server),
        ("vcenter", "CreateSnapshot_Task", server),
        ("dynamodb", "PutItem", migration_id),
        ("servicenow", "update", item),
        ("callback", "deliver", migration_id),
        ("events", "entry", migration_id),
        ("cmf", "updateServer", server),
        ("change", "update", change_number(application)),
        ("hook", "run", migration_id),
    ):
        rule = {"service": service, "operation": operation, "target": target, "times": 1}
        await cloud.plan(**rule, action="refuse", message=SAID, status=500)


def found_in(cloud: LocalCloud, text: bytes) -> list[str]:
    """The secrets that a text holds: what each is, and a little of what stands before it."""
    held = [f"{name}: {_before(text, secret)}" for name, secret in _planted(cloud) if secret.encode() in text]
    return held + [found.decode() for found in set(_OF_A_SESSION.findall(text))]


def _before(text: bytes, secret: str) -> str:
    place = text.index(secret.encode())
    return text[max(0, place - 80) : place].decode(errors="replace")


def _planted(cloud: LocalCloud) -> Iterator[tuple[str, str]]:
    for system, login in cloud.local["credentials"].items():
        yield f"the password of {system}", login["password"]
    yield "the callback secret", cloud.local["secrets"]["callback"]["value"].removeprefix("whsec_")
    yield "our own AWS credentials", SECRET_KEY
    yield "what an error repeated", CANARY
