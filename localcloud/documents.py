"""What a running local cloud writes down for its clients: addresses and seeds, settings, environment, a request."""

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from localcloud.aws.seed import ACCESS_KEY, SECRET_KEY, STATE_TABLE, Seeded
from localcloud.change_requests import change_number
from localcloud.process import FOREIGN_VARIABLES
from localcloud.receiver import HOOKS
from localcloud.servicenow import ci_sys_id
from localcloud.world import APPLICATION_PORT, World

VCENTER, SERVICENOW, CMF = "vcenter-1", "servicenow-1", "cmf-1"
"""The names by which requests call the connections."""

INSTANCE_TYPE = "m5.large"


def describe(world: World, seeded: Seeded, addresses: Mapping[str, str | None]) -> dict[str, Any]:
    """Everything that a client of the local cloud needs: `local.json`.

    Args:
        world: The network and the machines.
        seeded: What AWS began with.
        addresses: Where each part listens, by the document's own keys.
    """
    return {
        **addresses,
        "account_id": seeded.account_id,
        "region": seeded.region,
        "network": world.cidr,
        "vpc_id": seeded.vpc_id,
        "subnets": dict(seeded.subnets),
        "security_groups": dict(seeded.security_groups),
        "zone": {"name": seeded.zone_name, "id": seeded.zone_id},
        "queues": {"requests": seeded.request_queue_url, "dead_letters": seeded.dead_letter_queue_url},
        "events": {"bus": seeded.event_bus, "queue": seeded.event_queue_url},
        "kms_key_arn": seeded.kms_key_arn,
        "role_arn": seeded.role_arn,
        "secrets": {
            "callback": {
                "reference": f"secretsmanager:{seeded.callback_secret_name}",
                "value": seeded.callback_secret,
            }
        },
        "dns_names": {application.name: application.dns_name for application in world.applications},
        "vms": [
            {
                "name": machine.name,
                "application": machine.application,
                "address": machine.address,
                "os": machine.os,
                "tier": machine.tier,
                "managed_instance_id": machine.managed_instance_id,
                "cmdb_id": ci_sys_id(machine.name),
            }
            for machine in world.machines
        ],
    }


def request_for(local: Mapping[str, Any], application: str, **overrides: Any) -> dict[str, Any]:
    """A valid request that takes one seeded application through every step, in seconds rather than days.

    Args:
        local: The content of `local.json`.
        application: The application's name.
        overrides: Fields of the request by their JSON names; objects are merged into those that are there.

    Raises:
        ValueError: The local cloud has no such application.
    """
    vms = [vm for vm in local["vms"] if vm["application"] == application]
    if not vms:
        raise ValueError(f"no application {application}: there are {', '.join(local['dns_names'])}")
    names = [vm["name"] for vm in vms]
    request = {
        "schemaVersion": "1.0",
        "migrationId": f"mig-{application}-{datetime.now(UTC):%Y%m%d}",
        "appName": application,
        "environment": "test",
        "waveId": "wave-local",
        "requestedBy": "requester@example.com",
        "migrationType": "cutover",
        "source": {"type": "vmware", "connection": VCENTER, "servers": [_server(vm) for vm in vms]},
        "target": _target(local),
        "healthChecks": [*map(_health_check, names), *_more_checks(names[0])],
        "dns": [_record(local, local["dns_names"][application], names)],
        "cmdb": {
            "system": "servicenow",
            "connection": SERVICENOW,
            "items": [{"server": vm["name"], "id": vm["cmdb_id"]} for vm in vms],
        },
        "cmf": {"connection": CMF, "waveId": local["cmf_waves"][application]},
        "hooks": _hooks(local["receiver"], names[0]),
        "change": {"system": "servicenow", "connection": SERVICENOW, "number": change_number(application)},
        "callbackUrl": f"{local['receiver']}/callbacks",
        **_patience(local["subnets"]["staging"]),
    }
    return _merged(request, overrides)


def _server(vm: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": vm["name"],
        "vm": vm["name"],
        "os": vm["os"],
        "address": vm["address"],
        "tier": vm["tier"],
        "agentInstall": "ssm",
        "ssmInstanceId": vm["managed_instance_id"],
    }


def _target(local: Mapping[str, Any]) -> dict[str, Any]:
    subnets, groups = local["subnets"], local["security_groups"]
    return {
        "type": "aws-mgn",
        "accountId": local["account_id"],
        "region": local["region"],
        "roleArn": local["role_arn"],
        "subnetId": subnets["production"],
        "securityGroupIds": [groups["production"]],
        "instanceType": INSTANCE_TYPE,
        "tags": {"costCentre": "4711"},
        "test": {"subnetId": subnets["test"], "securityGroupIds": [groups["test"]]},
    }


def _health_check(server: str) -> dict[str, Any]:
    url = f"http://{{privateIp}}:{APPLICATION_PORT}/health"
    return {"type": "http", "server": server, "url": url, "expectStatus": 200, "within": "PT20S"}


def _more_checks(server: str) -> list[dict[str, Any]]:
    """The other kinds; the command runs once, in the test launch."""
    command = {"command": "systemctl is-active application", "during": ["test"]}
    return [
        {"type": "tcp", "server": server, "port": APPLICATION_PORT, "within": "PT20S"},
        {"type": "ssm", "server": server, **command, "within": "PT20S"},
    ]


def _record(local: Mapping[str, Any], name: str, servers: list[str]) -> dict[str, Any]:
    to = {"servers": servers}
    return {
        "provider": "route53",
        "zone": local["zone"]["name"],
        "zoneId": local["zone"]["id"],
        "roleArn": local["role_arn"],
        "name": name,
        "type": "A",
        "ttl": 2,
        "to": to,
    }


def _hooks(receiver: str, server: str) -> list[dict[str, Any]]:
    """A command that makes the source quiet, and a webhook that is told before users are sent to the target."""
    stop = {
        "at": "beforeQuiesce",
        "on": "source",
        "server": server,
        "type": "ssm",
        "ref": "AWS-RunShellScript",
        "parameters": {"commands": ["systemctl stop application", "sync"]},
        "within": "PT1M",
    }
    tell = {"at": "beforeSwitch", "on": "target", "server": server, "type": "webhook", "ref": f"{receiver}{HOOKS}"}
    return [stop, {**tell, "within": "PT1M"}]


def _patience(staging_subnet: str) -> dict[str, Any]:
    return {
        "replication": {
            "stagingSubnetId": staging_subnet,
            "maxLag": "PT5M",
            "stableObservations": 2,
            "deadline": "PT10M",
        },
        "quiesce": {"method": "shutdown", "within": "PT2M", "disconnectNics": True},
        "approval": {"approvers": ["approver-1@example.com", "approver-2@example.com"], "minimum": 1},
        "soak": {"for": "PT5S", "end": "commit", "failures": 3, "over": "PT5S"},
        "rollback": {"to": "ready", "afterSwitch": "ask", "keepTarget": "PT1M"},
        "warnings": "ignore",
        "sourceSnapshot": "atCutover",
        "sourceAfter": "powerOff",
        "grace": "PT3S",
    }


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        present = merged.get(name)
        both = isinstance(present, dict) and isinstance(value, Mapping)
        merged[name] = _merged(present, value) if both and present else value
    return merged


def environment(local: Mapping[str, Any], state_dir: Path) -> dict[str, str]:
    """The variables that lead the AWS SDKs, Temporal's clients and migrator to the local cloud."""
    return {
        "AWS_ENDPOINT_URL": local["aws"],
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": local["region"],
        "AWS_REGION": local["region"],
        "AWS_EC2_METADATA_DISABLED": "true",
        # The person's own profiles stay out of it.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TEMPORAL_ADDRESS": local["temporal"],
        "TEMPORAL_NAMESPACE": "default",
        "TEMPORAL_CONFIG_FILE": str(state_dir / "temporal.toml"),
        "MIGRATOR_SETTINGS": str(state_dir / "settings.toml"),
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def child_environment(local: Mapping[str, Any], state_dir: Path) -> dict[str, str]:
    """This process's environment without what leads elsewhere, and with what leads to the local cloud."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
    return own | environment(local, state_dir)


def write_documents(local: Mapping[str, Any], state_dir: Path) -> None:
    """Write `settings.toml`, `temporal.toml`, `env`, the requests, and `local.json` last, each at once or not."""
    variables = environment(local, state_dir)
    foreign = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY", "TEMPORAL_TLS")
    lines = [f"unset {' '.join(foreign)}", *(f"export {name}={quote(value)}" for name, value in variables.items())]
    _write(state_dir / "settings.toml", _settings(local))
    _write(state_dir / "temporal.toml", f'[profile.default]\naddress = "{local["temporal"]}"\nnamespace = "default"\n')
    _write(state_dir / "env", "\n".join(lines) + "\n")
    requests = state_dir / "requests"
    requests.mkdir(exist_ok=True)
    texts = {name: json.dumps(request_for(local, name), indent=2) + "\n" for name in local["dns_names"]}
    for name, text in texts.items():
        _write(requests / f"{name}.json", text)
    _write(state_dir / "request.json", next(iter(texts.values())))
    _write(state_dir / "local.json", json.dumps(local, indent=2) + "\n")


def _settings(local: Mapping[str, Any]) -> str:
    credentials = local["credentials"]
    return f"""\
# Written by the local cloud at each start.
state_table = "{STATE_TABLE}"
request_queue_url = "{local["queues"]["requests"]}"
dead_letter_queue_url = "{local["queues"]["dead_letters"]}"
event_bus = "{local["events"]["bus"]}"
state_region = "{local["region"]}"
dns_servers = ["{local["dns"]}"]
callback_secret = "{local["secrets"]["callback"]["reference"]}"
callback_allow = ["127.0.0.0/8", "::1/128"]
act_bound = 20.0

[poll]
replication = 1.0
job = 0.5
health = 0.5
soak = 1.0
source = 0.5
dns = 0.5
hook = 0.2
ticket = 0.5

[vcenters.{VCENTER}]
url = "{local["vcenter"]}"
username = "{credentials["vcenter"]["username"]}"
password = "{credentials["vcenter"]["password"]}"

[servicenows.{SERVICENOW}]
url = "{local["servicenow"]}"
username = "{credentials["servicenow"]["username"]}"
password = "{credentials["servicenow"]["password"]}"

[factories.{CMF}]
user_api = "{local["cmf"]}"
login_api = "{local["cmf"]}"
admin_api = "{local["cmf"]}"
user_pool_id = "{local["user_pool"]["id"]}"
"""


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as scratch:
        scratch.write(text)
    Path(scratch.name).replace(path)
