"""The Terraform of `deploy/terraform` as Python reads it: modules, their blocks, and every expression in them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import hcl2

TERRAFORM = Path(__file__).parents[1] / "deploy" / "terraform"

_OURS = ("__is_block__", "__comments__", "__inline_comments__")


@dataclass(frozen=True)
class Resource:
    """A `resource` or a `data` block."""

    kind: Literal["resource", "data"]
    type: str
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Module:
    """One folder of `.tf` files."""

    path: Path
    variables: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    locals: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    settings: list[Mapping[str, Any]] = field(default_factory=list)
    providers: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder within `deploy/terraform`."""
        return str(self.path.relative_to(TERRAFORM))

    @property
    def required(self) -> set[str]:
        """The variables that a caller must give."""
        return {name for name, body in self.variables.items() if "default" not in body}

    @cached_property
    def expressions(self) -> tuple[str, ...]:
        """Every text and expression of the module."""
        parts = (self.variables, self.outputs, self.locals, self.calls, self.settings, self.providers)
        bodies = (*parts, [resource.body for resource in self.resources])
        return tuple(text for body in bodies for text in _texts(body))

    def source(self, call: str) -> Path:
        """The folder of a module that this one calls."""
        return (self.path / str(self.calls[call]["source"])).resolve()


def modules() -> list[Module]:
    """The root, and every module below it."""
    return [module_in(path) for path in sorted({file.parent for file in TERRAFORM.rglob("*.tf")})]


def module_in(path: Path) -> Module:
    """Read one folder."""
    module = Module(path)
    for file in sorted(path.glob("*.tf")):
        for kind, blocks in parsed(file).items():
            for block in blocks:
                _place(module, kind, block)
    return module


def parsed(file: Path) -> dict[str, Any]:
    """One file of HCL, without what the parser adds; texts lose their quotes, expressions keep `${}`."""
    return _parsed(file.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(hcl2.loads(text))
    return plain


def references(expressions: tuple[str, ...], pattern: str) -> set[str]:
    """What the pattern's group finds in the expressions."""
    return {found for text in expressions for found in re.findall(pattern, text)}


def _place(module: Module, kind: str, block: Mapping[str, Any]) -> None:
    match kind:
        case "variable":
            module.variables.update(block)
        case "output":
            module.outputs.update(block)
        case "locals":
            module.locals.update(block)
        case "module":
            module.calls.update(block)
        case "terraform":
            module.settings.append(block)
        case "provider":
            module.providers.append(block)
        case "resource" | "data":
            module.resources.extend(
                Resource(kind, type_, name, body) for type_, named in block.items() for name, body in named.items()
            )
        case _:
            raise ValueError(f"{module.name}: a block {kind!r} that nobody looks at")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_unquoted(name): _plain(one) for name, one in value.items() if name not in _OURS}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _unquoted(value) if isinstance(value, str) else value


def _unquoted(text: str) -> str:
    return text[1:-1] if text.startswith('"') and text.endswith('"') and len(text) > 1 else text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        # The names of an object may be expressions, as its values are.
        yield from value
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
