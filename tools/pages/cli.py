"""`docs/cli.md`: every command of `migrator`, with its arguments and options."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer

from starter.cli import app
from tools.pages.markdown import GENERATED, anchor, code, table

_ABOUT = f"""\
# Commands

{GENERATED.format(source="`starter/`")}

`migrator COMMAND --help` says the same at the terminal. Exit codes, where a command does not say otherwise: 0 done,
1 failed, 2 bad input, 3 not found or not allowed now. With `--output json` a command answers in JSON, errors too.
"""


def document() -> str:
    """The whole page."""
    commands = list(_commands("migrator", typer.main.get_command(app)))
    rows = ((f"[{code(name)}](#{anchor(name)})", _first(command.help)) for name, command in commands)
    lines = [_ABOUT, *table(["command", "does"], rows)]
    for name, command in commands:
        lines += ["", f"## {name}\n", _help(command), *_parameters(name, command)]
    return "\n".join(lines) + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Each command that does something, under its full name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, one in below.items():
        yield from _commands(f"{name} {word}", one)


def _parameters(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    words = [name, *(one.metavar or one.name.upper() for one in arguments)]
    words += [f"{one.opts[0]} {_metavar(one)}" for one in options if one.required]
    words += ["[OPTIONS]"] * any(not one.required for one in options)
    yield f"\n```text\n{' '.join(words)}\n```"
    rows = [*map(_argument, arguments), *map(_option, options)]
    if rows:
        yield from ("", *table(["", "default", "means"], rows))


def _argument(one: Any) -> tuple[str, ...]:
    return _choices(one.metavar or one.name.upper()), "required" if one.required else "", one.help or ""


def _option(one: Any) -> tuple[str, ...]:
    names = ", ".join(map(code, [*one.opts, *one.secondary_opts]))
    shown = names if one.is_flag else f"{names} {_choices(_metavar(one))}"
    more = "; may be repeated" if one.multiple and "repeated" not in (one.help or "") else ""
    return shown, _default(one), f"{one.help or ''}{more}"


def _choices(metavar: str) -> str:
    """One of several words, without the bar between them: within code in a table not every reader unescapes it."""
    return " or ".join(map(code, metavar.split("|")))


def _metavar(one: Any) -> str:
    kind = one.type_descriptor.annotation
    choices = "|".join(each.value for each in kind) if isinstance(kind, type) and issubclass(kind, Enum) else None
    return str(one.metavar or choices or one.name.upper())


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if one.is_flag or one.default is None:
        return ""
    return code(str(one.default.value if isinstance(one.default, Enum) else one.default))


def _first(text: str | None) -> str:
    return (text or "").partition("Exit code")[0].strip()


def _help(command: Any) -> str:
    return " ".join((command.help or "").split())
