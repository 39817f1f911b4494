"""`docs/settings.md`: every setting, from `migration/settings.py`."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from migration.formats import format_duration
from migration.settings import SETTINGS_FILE, Settings
from tools.pages.markdown import GENERATED, code, table

_KINDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Path: "file",
    timedelta: "duration",
}

_ABOUT = f"""\
# Settings

{GENERATED.format(source="`migration/settings.py`")}

What a worker, an ingress and the CLI can be told. All of them read the same settings, once, when they start.

- An environment variable wins over the file, the file over the default. The file is TOML; `{SETTINGS_FILE}` names it.
- Names of variables have `__` where the file has a table. Lists and tables in a variable are JSON; a duration is
  ISO 8601 (`PT5M`), or seconds.
- A variable that is empty counts as not set. `migrator doctor` says which variables name no setting.
- `NAME` stands for a name of yours, which requests use to say which system they mean.
- A *reference* to a secret is `secretsmanager:NAME` or `env:NAME`.

The connection to Temporal is not among them: worker, ingress and CLI read what the `temporal` CLI reads, its variables
(`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, …) or a profile of its configuration file.
Neither are credentials for AWS, which boto3 finds as it always does.
"""


def document() -> str:
    """The whole page."""
    single = {name: field for name, field in Settings.model_fields.items() if _model(field) is None}
    lines = [_ABOUT, "## All\n", *_table(single, "")]
    for name, field in Settings.model_fields.items():
        if (model := _model(field)) is not None:
            path = f"{name}.NAME" if get_origin(field.annotation) is dict else name
            lines += ["", f"## {name}\n", f"{field.description}.\n", *_table(model.model_fields, path)]
    return "\n".join(lines) + "\n"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a setting that is a table, or a table of tables."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _table(fields: Mapping[str, FieldInfo], path: str) -> Iterator[str]:
    rows = (_row(f"{path}.{name}".lstrip("."), field) for name, field in fields.items())
    return table(["setting", "environment variable", "is", "default", "means"], rows)


def _row(path: str, field: FieldInfo) -> tuple[str, ...]:
    variable = "MIGRATOR_" + path.replace(".", "__").upper()
    return code(path), code(variable), _kind(field), _default(field), field.description or ""


def _kind(field: FieldInfo) -> str:
    limits = [f"at least {_value(one.ge)}" for one in field.metadata if isinstance(one, Ge)]
    limits += [f"more than {_value(one.gt)}" for one in field.metadata if isinstance(one, Gt)]
    limits += [f"at most {_value(one.le)}" for one in field.metadata if isinstance(one, Le)]
    return ", ".join([_word(field.annotation), *limits])


def _word(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"list of {_word(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        return f"table of {_word(key)} to {_word(value)}"
    if kind is SecretStr:
        return "secret"
    if kind in _KINDS:
        return _KINDS[kind]
    (one,) = (part for part in get_args(kind) if part is not type(None))
    return _word(one)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return "none" if field.default is None else code(_value(field.default))


def _value(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, SecretStr):
        return json.dumps(value.get_secret_value())
    return json.dumps(value)
