"""Look at `deploy/terraform` without Terraform: what is declared, used, wired, encrypted, and allowed by a wildcard.

`terraform validate` needs the AWS provider, and that a registry. This finds most of what it would, by the names of the
provider's schema in `aws-schema.json`, and what it would not.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.terraform_files import TERRAFORM, Module, Resource, modules, parsed, references

SCHEMA: Mapping[str, Any] = json.loads((TERRAFORM / "aws-schema.json").read_text(encoding="utf-8"))

WITHOUT_PROVIDER = ("modules/naming", "modules/platform-policies", "modules/policies")

APPLIED_BY_ITSELF = (".", "modules/target-account")
"""The root, and what is applied in other accounts."""

GIVEN_AT_DEPLOYMENT = {"image"}
"""What no file of `env/` says, since each deployment has another."""

META = {"count", "for_each", "depends_on", "lifecycle", "provider", "providers", "source", "version", "dynamic"}

ENCRYPTED: Mapping[str, tuple[str, ...]] = {
    "aws_cloudwatch_event_archive": ("kms_key_identifier",),
    "aws_cloudwatch_event_bus": ("kms_key_identifier",),
    "aws_cloudwatch_log_group": ("kms_key_id", "retention_in_days"),
    "aws_dynamodb_table": ("server_side_encryption.kms_key_arn", "point_in_time_recovery.enabled"),
    "aws_kms_key": ("enable_key_rotation",),
    "aws_secretsmanager_secret": ("kms_key_id",),
    "aws_sns_topic": ("kms_master_key_id",),
    "aws_sqs_queue": ("kms_master_key_id",),
}
"""What a resource that keeps something must say."""

WILDCARDS: Mapping[tuple[str, str], tuple[int, str]] = {
    ("modules/platform-policies", "kms:*"): (1, "the key's policy hands the key to the policies of its own account"),
    ("modules/platform-policies", "*"): (
        7,
        "in a key's policy that key, three times; looks and logins without ARNs; X-Ray",
    ),
    ("modules/sqs", "*"): (2, "the principal of what is denied"),
    ("modules/sqs", "sqs:*"): (2, "what is denied without TLS"),
}
"""Module and text: how often it may be there, and why."""

ANYWHERE: Mapping[str, str] = {
    "mgn:CreateApplication": "what is created has no ARN yet",
    "mgn:CreateWave": "what is created has no ARN yet",
    "ssm:CancelCommand": "commands have no ARN",
}
"""Permissions of the product that change something and name no resource, with the reason."""

_LOOKS = re.compile(r"^\w+:(BatchGet|Describe|Get|List)")
_WILDCARD = re.compile(r'"((?:\*)|(?:[a-z0-9-]+:[A-Za-z]*\*))"')
_RESOURCE = re.compile(r"(?<![\w.])(data\.)?(aws_\w+)\.(\w+)((?:\[[^\]]*\])?)(?:\.(\w+))?")
_MODULE = re.compile(r"(?<![\w.])module\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?")


def findings() -> list[str]:
    """Everything that is wrong, each in a line."""
    known = {module.path.resolve(): module for module in modules()}
    found = [line for module in known.values() for line in looked_at(module, known)]
    return [*found, *_unwired(known.values()), *_values(known[TERRAFORM.resolve()]), *_permissions()]


def looked_at(module: Module, known: Mapping[Path, Module]) -> list[str]:
    """What is wrong with one module."""
    rules = (
        _declared(module, "variable", "var", module.variables),
        _declared(module, "local value", "local", module.locals),
        _calls(module, known),
        _read(module),
        _provider(module),
        _wildcards(module),
        *(_resource(resource) for resource in module.resources),
    )
    return [f"{module.name}: {line}" for rule in rules for line in rule]


def _declared(module: Module, what: str, prefix: str, declared: Iterable[str]) -> Iterator[str]:
    used = references(module.expressions, rf"(?<![\w.]){prefix}\.(\w+)")
    yield from (f"the {what} {name} is not used" for name in sorted(set(declared) - used))
    yield from (f"there is no {what} {name}" for name in sorted(used - set(declared)))


def _calls(module: Module, known: Mapping[Path, Module]) -> Iterator[str]:
    for name, body in module.calls.items():
        called = known.get(module.source(name))
        if called is None:
            yield f"module {name} has no folder {body['source']}"
            continue
        given = set(body) - META
        yield from (f"module {name} takes no {one}" for one in sorted(given - set(called.variables)))
        yield from (f"module {name} is not given {one}" for one in sorted(called.required - given))
    for text in module.expressions:
        for name, output in _MODULE.findall(text):
            if name not in module.calls:
                yield f"there is no module {name}"
            elif output and output not in known[module.source(name)].outputs:
                yield f"module {name} puts out no {output}"


def _read(module: Module) -> Iterator[str]:
    """Whether what is read of resources is there to be read."""
    there = {(one.kind, one.type, one.name): one for one in module.resources}
    for text in module.expressions:
        for data, type_, name, index, attribute in _RESOURCE.findall(text):
            resource = there.get(("data" if data else "resource", type_, name))
            if resource is None:
                yield f"there is no {data}{type_}.{name}"
                continue
            whole = "for_each" in resource.body and not index
            if attribute and not whole and attribute not in SCHEMA[resource.kind][type_]["readable"]:
                yield f"{data}{type_}.{name} has no {attribute} that could be read"


def _provider(module: Module) -> Iterator[str]:
    settings = [name for one in module.settings for name in one]
    if "required_version" not in settings:
        yield "it does not say which Terraform it needs"
    if module.name in WITHOUT_PROVIDER:
        yield from (f"{one.type}.{one.name} needs a provider" for one in module.resources)
    elif "required_providers" not in settings:
        yield "it does not say which provider it needs"


def _resource(resource: Resource) -> Iterator[str]:
    where = f"{resource.type}.{resource.name}"
    schema = SCHEMA[resource.kind].get(resource.type)
    if schema is None:
        yield f"{where}: aws-schema.json does not know the type: python -m tools.aws_schema"
        return
    yield from _block(where, resource.body, schema["members"])
    for path in ENCRYPTED.get(resource.type, ()):
        if not _said(resource.body, path):
            yield f"{where} does not say {path}"


def _block(where: str, body: Mapping[str, Any], members: Mapping[str, Any]) -> Iterator[str]:
    given = set(body) - META
    yield from (f"{where} takes no {name}" for name in sorted(given - set(members)))
    required = {name for name, member in members.items() if member.get("required")}
    yield from (f"{where} needs {name}" for name in sorted(required - given))
    for name in sorted(given & set(members)):
        inner = members[name].get("block")
        blocks = body[name] if isinstance(body[name], list) else [body[name]]
        for block in blocks:
            if inner and isinstance(block, Mapping):
                yield from _block(f"{where}.{name}", block, inner)


def _said(body: Mapping[str, Any], path: str) -> bool:
    name, _, rest = path.partition(".")
    value = body.get(name)
    if rest:
        return isinstance(value, list) and all(_said(block, rest) for block in value)
    return value not in (None, False, "")


def _wildcards(module: Module) -> Iterator[str]:
    texts = (f'"{text}"' if not text.startswith("${") else text for text in module.expressions)
    found = Counter(wildcard for text in texts for wildcard in _WILDCARD.findall(text))
    reasoned = {wildcard: count for (name, wildcard), (count, _) in WILDCARDS.items() if name == module.name}
    for wildcard in sorted({*found, *reasoned}):
        expected = reasoned.get(wildcard, 0)
        if found[wildcard] != expected:
            yield f"{wildcard!r} stands {found[wildcard]} times where {expected} have a reason in WILDCARDS"


def _unwired(known: Iterable[Module]) -> Iterator[str]:
    called = {module.source(call) for module in known for call in module.calls}
    for module in known:
        if module.path.resolve() not in called and module.name not in APPLIED_BY_ITSELF:
            yield f"{module.name}: no module calls it"


def _values(root: Module) -> Iterator[str]:
    for file in sorted((TERRAFORM / "env").glob("*.tfvars")):
        given = set(parsed(file))
        yield from (f"env/{file.name}: there is no variable {one}" for one in sorted(given - set(root.variables)))
        missing = root.required - given - GIVEN_AT_DEPLOYMENT
        yield from (f"env/{file.name}: it does not say {one}" for one in sorted(missing))


def _permissions() -> Iterator[str]:
    kinds = json.loads((TERRAFORM / "modules" / "policies" / "permissions.json").read_text(encoding="utf-8"))
    for actions in (actions for roles in kinds.values() for actions in roles.values()):
        for action, resource in actions.items():
            if "*" in action:
                yield f"permissions.json: {action} is a wildcard"
            if resource == "*" and not _LOOKS.match(action) and action not in ANYWHERE:
                yield f"permissions.json: {action} is allowed on everything, without a reason in ANYWHERE"


def main() -> int:
    """Print what is wrong; 1 when anything is."""
    found = findings()
    sys.stdout.write("".join(f"{line}\n" for line in found) or "terraform: nothing found\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
