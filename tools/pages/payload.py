"""`docs/payload.md`: every field of a request, from its JSON Schema and its rules, and of every decision."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

from migration.changes import Change, ChangedCheck
from migration.decisions import DECISIONS, Decision
from migration.offer import unoffered
from migration.parsing import parse_request
from migration.request import MigrationRequest, SourceType
from migration.request.rules import RULES
from migration.schema import request_schema
from tools.pages.markdown import GENERATED, anchor, code, table

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "migration-request.json"

_ABOUT = f"""\
# The request

{GENERATED.format(source="`migration/request/`")}

What a migration is asked for with, as JSON. The [JSON Schema](../migration/schema/migration-request.json)
(`migrator schema`) says the same for programs, as far as a schema can; `migrator validate FILE` says everything that is
wrong with a document at once, each with its JSON path. [Examples](examples/README.md) of common cases are ready to be
filled in.

A field that is not named here is refused. A field that is left out has its default; *required* means that there is
none. Times are RFC 3339 with an offset, durations ISO 8601. The examples are those of
[migration-request.json](examples/migration-request.json), which has every field.
"""


@dataclass(frozen=True)
class Part:
    """An object of the request: where it stands, the schema of it, and the example's value of it."""

    path: str
    schema: Mapping[str, Any]
    example: Any

    @property
    def heading(self) -> str:
        """Its path; of several kinds at one place, with the kind's own mark."""
        properties = self.schema["properties"]
        kind = properties.get("type", {}).get("const")
        own = f"{self.path} with {next(iter(properties))}" if self.path.endswith(".to") else self.path
        return f"{self.path} of type {kind}" if kind and self.path.endswith("[]") else own


def document() -> str:
    """The whole page."""
    schema = request_schema()
    parts = list(_parts("", schema, json.loads(EXAMPLE.read_text(encoding="utf-8")), schema["$defs"]))
    fields, formats = _fields(parts, schema["$defs"]), _formats(schema["$defs"])
    return "\n".join([_ABOUT, *fields, *_rules(), *_not_offered(), *_decisions(), *formats]) + "\n"


# --- parts -------------------------------------------------------------------------------------------------------


def _parts(path: str, schema: Mapping[str, Any], example: Any, definitions: Mapping[str, Any]) -> Iterator[Part]:
    """The objects of a document, each before those within it."""
    yield Part(path, schema, example)
    for name, field in schema["properties"].items():
        suffix, inner = ("[]", field["items"]) if "items" in field else ("", field)
        for number, branch in enumerate(_branches(inner)):
            found = _resolved(branch, definitions)
            if "properties" in found:
                below = f"{path}.{name}{suffix}".lstrip(".")
                yield from _parts(below, found, _example_of(example, name, number, found), definitions)


def _branches(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in field.get("anyOf") or field.get("oneOf") or [field] if one.get("type") != "null"]


def _resolved(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = definitions[_name(field)] if "$ref" in field else field
    return found


def _name(field: Mapping[str, Any]) -> str:
    return str(field["$ref"]).rpartition("/")[2]


def _example_of(example: Any, name: str, number: int, schema: Mapping[str, Any]) -> Any:
    """The example's value of a part: of a list the entry of that kind; nothing where it has another kind."""
    value = example.get(name) if isinstance(example, dict) else None
    if isinstance(value, list):
        value = value[number] if number < len(value) else None
    return value if isinstance(value, dict) and set(value) <= set(schema["properties"]) else None


# --- fields ------------------------------------------------------------------------------------------------------


def _fields(parts: list[Part], definitions: Mapping[str, Any]) -> Iterator[str]:
    headings = {id(part.schema): part.heading for part in parts}
    for part in parts:
        if part.path:
            yield f"## {code(part.heading)}\n\n{' '.join(part.schema['description'].split())}\n"
        else:
            yield "## The document\n"
        rows = (_field(name, field, part, definitions, headings) for name, field in part.schema["properties"].items())
        yield from table(["field", "is", "default", "means", "example"], rows)
        yield ""


def _field(
    name: str, field: Mapping[str, Any], part: Part, definitions: Mapping[str, Any], headings: Mapping[int, str]
) -> tuple[str, ...]:
    inner = _resolved(_branches(field)[0], definitions)
    required = name in part.schema.get("required", ())
    default = field.get("default")
    means = field.get("description") or inner.get("description") or ("Always this." if "const" in field else "")
    given = part.example.get(name) if isinstance(part.example, dict) else None
    example = "" if given is None or _structured(given) else code(_short(given))
    return (
        code(name),
        _kind(field, definitions, headings),
        "required" if required else "as below" if isinstance(default, dict) and default else code(_short(default)),
        means.partition("\n\n")[0],
        example,
    )


def _structured(value: Any) -> bool:
    """Whether a value has parts that are shown with their own fields."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))


def _short(value: Any) -> str:
    return "all of them" if isinstance(value, list) and len(value) > 3 else json.dumps(value)  # noqa: PLR2004  a line's room


def _kind(field: Mapping[str, Any], definitions: Mapping[str, Any], headings: Mapping[int, str]) -> str:
    if "anyOf" in field or "oneOf" in field:
        null = ["null"] if any(one.get("type") == "null" for one in field.get("anyOf", ())) else []
        kinds = [_kind(one, definitions, headings) for one in _branches(field)]
        return " or ".join([*dict.fromkeys(kinds), *null])
    if "$ref" in field:
        return _reference(field, definitions, headings)
    if "const" in field:
        return code(json.dumps(field["const"]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], definitions, headings)}{_bounds(field, 'Items')}"
    if "additionalProperties" in field:
        names, values = field.get("propertyNames", {}), field["additionalProperties"]
        key = _kind(names, definitions, headings) if "$ref" in names else "text"
        return f"object of {key} to {_kind(values, definitions, headings)}{_bounds(field, 'Properties')}"
    return f"{field['type']}{_bounds(field, 'imum')}"


def _reference(field: Mapping[str, Any], definitions: Mapping[str, Any], headings: Mapping[int, str]) -> str:
    name, found = _name(field), _resolved(field, definitions)
    if "enum" in found:
        return " or ".join(code(json.dumps(value)) for value in found["enum"])
    if heading := headings.get(id(found)):
        return f"[object](#{anchor(heading)})"
    return f"[{name}](#{name.lower()})"


def _bounds(field: Mapping[str, Any], of: str) -> str:
    """What limits a number, or how many things there may be."""
    least, most = field.get(f"min{of}"), field.get(f"max{of}")
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None:
        return f", at least {least}"
    return f", at most {most}" if most is not None else ""


# --- the rest ----------------------------------------------------------------------------------------------------


def _rules() -> Iterator[str]:
    yield "## Rules that span fields\n"
    for rule in RULES:
        yield f"- {' '.join((inspect.getdoc(rule) or '').split())}"
    yield ""


def _not_offered() -> Iterator[str]:
    """What the vocabulary has and this version refuses, from requests that ask for all of it."""
    yield "## Not offered yet\n"
    yield "The step `validate` refuses what follows as [NOT_OFFERED](findings.md); it is never ignored.\n"
    refused = (one for source in SourceType for one in unoffered(_asking_for_all(source)))
    for path, what in dict.fromkeys(refused):
        yield f"- {code(path.removeprefix('$.').replace('[0]', '[]'))}: {what}"
    yield ""


def _asking_for_all(source: SourceType) -> MigrationRequest:
    wanted = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    wanted["source"]["type"], wanted["cmdb"]["system"] = source, "netbox"
    wanted["source"]["servers"][0] |= {"agentInstall": "ssh", "credential": "secretsmanager:migrator/ssh"}
    alias = {"alias": {"dnsName": "lb.example.com", "hostedZoneId": "Z1"}}
    wanted["dns"][0] |= {"provider": "rfc2136", "to": alias, "reverse": True}
    return parse_request(json.dumps(wanted).encode())


def _decisions() -> Iterator[str]:
    yield "## Decisions\n"
    yield "What is said to a migration while it runs: an update, or a signal, of such a name to the workflow"
    yield "`migrationId`, with these fields in one JSON object. `by` may be called `approver` too.\n"
    yield from table(["decision", "means", "must say", "may say"], starmap(_decision, DECISIONS.items()))
    new = ", ".join(code(name) for name in Change.model_json_schema(by_alias=True)["properties"])
    check = ", ".join(code(name) for name in ChangedCheck.model_json_schema(by_alias=True)["properties"])
    yield f"\n`change` of `retry` is an object of {new}; `healthCheck` of it one of {check}.\n"


def _decision(name: str, model: type[Decision]) -> tuple[str, ...]:
    schema = model.model_json_schema(by_alias=True)
    must = schema["required"]
    may = [field for field in schema["properties"] if field not in must]
    means = schema["description"].partition("\n\n")[0]
    return code(name), means, ", ".join(map(code, must)), ", ".join(map(code, may))


def _formats(definitions: Mapping[str, Any]) -> Iterator[str]:
    yield "## Formats"
    for name, found in definitions.items():
        if "properties" in found or "enum" in found:
            continue
        yield f"\n### {name}\n\n{found['description']}"
        if pattern := found.get("pattern"):
            yield f"\n```text\n{pattern}\n```"
