"""`deploy/terraform` with a stand-in for each resource, so that Terraform can apply it where there is no AWS provider.

A stand-in is Terraform's own `terraform_data`: it takes any value, and what AWS would tell only once a resource is made
is as unknown in its plan. So Terraform wires modules, checks their inputs, and evaluates every expression, also at an
apply; only what the provider and AWS think of the values stays unseen.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.terraform_files import TERRAFORM, Module, Resource, modules
from tools.terraform_lint import SCHEMA

ACCOUNT = "123456789012"

_KNOWN = {
    "data.aws_caller_identity.here.account_id": f'"{ACCOUNT}"',
    "data.aws_partition.here.partition": '"aws"',
}
_REFERENCE = re.compile(r"(?<![\w.])(aws_\w+)\.(\w+)(\[[^\]]*\])?(?:\.(\w+))?")
_OF_TERRAFORM = ("count", "for_each")
_EXPRESSION = re.compile(r"^\$\{(.*)\}$", re.DOTALL)


def write(into: Path) -> None:
    """Write the whole configuration, in Terraform's JSON syntax, and what its modules read."""
    for module in modules():
        folder = into / module.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps(_stood_in(module)), encoding="utf-8")
    permissions = Path("modules", "policies", "permissions.json")
    (into / permissions).write_bytes((TERRAFORM / permissions).read_bytes())
    shutil.copytree(TERRAFORM.parent / "telemetry", into.parent / "telemetry", dirs_exist_ok=True)
    for file in (TERRAFORM / "env").glob("*.tfvars"):
        # What is to be filled in is filled in with what it says.
        (into / file.name).write_text(re.sub(r"[<>]", "", file.read_text(encoding="utf-8")), encoding="utf-8")


def standing(resources: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Address and values of every stand-in, from what `terraform show -json` says of a state's root module."""
    found = [(one["address"], one["values"]["input"]) for one in resources.get("resources", ())]
    return found + [pair for module in resources.get("child_modules", ()) for pair in standing(module)]


def _stood_in(module: Module) -> dict[str, Any]:
    there = {f"{one.type}.{one.name}": one for one in module.resources if one.kind == "resource"}
    whole = {
        "variable": {name: _variable(body) for name, body in module.variables.items()},
        "locals": module.locals,
        "output": module.outputs,
        "module": module.calls,
        "resource": {"terraform_data": {_name(one.type, one.name): _resource(one) for one in there.values()}},
    }
    return {kind: _rewritten(body, there) for kind, body in whole.items() if body and body != {"terraform_data": {}}}


def _variable(body: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(body["type"])
    bare = _EXPRESSION.match(kind)
    return {**body, "type": bare[1] if bare else kind}


def _resource(resource: Resource) -> dict[str, Any]:
    readable = SCHEMA["resource"][resource.type]["readable"]
    told = {name: f"{name} of {resource.type}/{resource.name}" for name in readable}
    given = {name: value for name, value in resource.body.items() if name not in (*_OF_TERRAFORM, "lifecycle")}
    own = {name: value for name, value in resource.body.items() if name in _OF_TERRAFORM}
    return {**own, "input": {**told, **given}}


def _name(type_: str, name: str) -> str:
    return f"{type_}__{name}"


def _rewritten(value: Any, there: Mapping[str, Resource]) -> Any:
    if isinstance(value, Mapping):
        return {_rewritten(name, there): _rewritten(one, there) for name, one in value.items()}
    if isinstance(value, list):
        return [_rewritten(one, there) for one in value]
    if not isinstance(value, str):
        return value
    for reference, known in _KNOWN.items():
        value = value.replace(reference, known)
    return _REFERENCE.sub(lambda found: _to_the_stand_in(found, there), value)


def _to_the_stand_in(found: re.Match[str], there: Mapping[str, Resource]) -> str:
    """What is given is known in a plan; what AWS would tell is not."""
    type_, name, index, attribute = found.groups()
    resource = there.get(f"{type_}.{name}")
    if resource is None:
        return found[0]
    stand_in = f"terraform_data.{_name(type_, name)}"
    if "for_each" in resource.body and not index:
        return f"{{ for key, one in {stand_in} : key => one.output }}"
    known = "input" if attribute in resource.body else "output"
    return f"{stand_in}{index or ''}.{known}" + (f".{attribute}" if attribute else "")
