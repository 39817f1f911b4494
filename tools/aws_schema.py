"""Extract names from the AWS provider's schema, as the npm package @cdktf/provider-aws carries them.

    npm pack @cdktf/provider-aws@21.22.1
    python -m tools.aws_schema cdktf-provider-aws-21.22.1.tgz

Only resources that `deploy/terraform` uses are written: their arguments and blocks, which of them are required, and
what can be read of them.
"""

import json
import re
import sys
import tarfile
from typing import Any

from tools.terraform_files import TERRAFORM, modules

SCHEMA = TERRAFORM / "aws-schema.json"

_INTERFACE = re.compile(r"^export interface (\w+)(?: extends [^{]+)? \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_MEMBER = re.compile(r"#(\w+) \w+#\1\}.*?readonly \w+(\??): (\w+|\{)", re.DOTALL)
_CONFIG = re.compile(r"^export interface (\w+) extends cdktf.TerraformMetaArguments", re.MULTILINE)
_RESOURCE = "    static readonly tfResourceType"
_GETTER = re.compile(r"^    get (\w+?)(?<!Input)\(\): ", re.MULTILINE)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_VERSION = re.compile(r"hashicorp/aws/([\d.]+)/")


def extracted(package: tarfile.TarFile, types: dict[str, set[str]]) -> dict[str, Any]:
    """The schema of these types, by `resource` and `data`."""
    found: dict[str, Any] = {"source": "npm @cdktf/provider-aws", "provider": ""}
    for kind, names in types.items():
        found[kind] = {}
        for name in sorted(names):
            folder = name.replace("_", "-") if kind == "data" else name.replace("_", "-").removeprefix("aws-")
            text = _text(package, f"package/lib/{'data-' if kind == 'data' else ''}{folder}/index.d.ts")
            if version := _VERSION.search(text):
                found["provider"] = version[1]
            found[kind][name] = _schema(text)
    return found


def _text(package: tarfile.TarFile, name: str) -> str:
    member = package.extractfile(name)
    if member is None:
        raise FileNotFoundError(name)
    return member.read().decode()


def _schema(text: str) -> dict[str, Any]:
    interfaces = dict(_INTERFACE.findall(text))
    config, of_the_resource = _CONFIG.search(text), text[text.index(_RESOURCE) :]
    if config is None:
        raise ValueError("the package is laid out in another way")
    readable = {_CAPITAL.sub("_", name).lower() for name in _GETTER.findall(of_the_resource)}
    return {"members": _members(interfaces, config[1]), "readable": sorted(readable)}


def _members(interfaces: dict[str, str], name: str) -> dict[str, Any]:
    """Name to what it is: `required`, where it is, and `block` with its own members."""
    members: dict[str, Any] = {}
    for member, optional, kind in _MEMBER.findall(interfaces[name]):
        members[member] = {} if optional else {"required": True}
        if kind in interfaces:
            members[member]["block"] = _members(interfaces, kind)
    return members


def main(arguments: list[str]) -> int:
    """Write the schema from the package whose path is given."""
    types: dict[str, set[str]] = {"resource": set(), "data": set()}
    for module in modules():
        for kind, names in types.items():
            names |= {one.type for one in module.resources if one.kind == kind}
    with tarfile.open(arguments[0]) as package:
        found = extracted(package, types)
    SCHEMA.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(f"{SCHEMA.name}: provider {found['provider']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
