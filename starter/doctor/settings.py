"""The first check: whether the settings can be read. Without them, only what needs none is looked at."""

from collections.abc import Iterator
from tomllib import TOMLDecodeError, loads

from pydantic import ValidationError
from pydantic_settings import SettingsError

from migration.redaction import redact_text
from migration.settings import SETTINGS_FILE, Settings, environment_names, settings_file
from starter.doctor.checks import Line, State, Verdict

WHAT = "settings"
_CORRECT = f"Correct it in the environment (MIGRATOR_*) or in the file that {SETTINGS_FILE} names."


def read_settings() -> tuple[Settings | None, list[Line]]:
    """The settings, or None, and a line for each of their problems; one that says ok where there is none."""
    settings, problems = None, list(_ignored())
    try:
        settings = Settings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        problems += [_wrong(f"{'.'.join(map(str, one['loc']))}: {one['msg']}") for one in found]
    except SettingsError as error:
        problems.append(_wrong(str(error)))
    except (OSError, TOMLDecodeError) as error:
        problems.append(_wrong(f"{settings_file()} cannot be read: {error}"))
    if problems:
        return settings, problems
    source = f"environment and {settings_file()}" if settings_file() else "environment"
    return settings, [Line(WHAT, Verdict(State.OK, source))]


def _ignored() -> Iterator[Line]:
    """What pydantic would pass over: a file that is not there, and names that no setting has."""
    path = settings_file()
    if path is not None and not path.is_file():
        yield _wrong(f"{SETTINGS_FILE} names {path}, and there is no such file")
    known = set(Settings.model_fields)
    for name in (*_names_in_the_file(), *environment_names()):
        if name not in known:
            yield _wrong(f"{name} is not a setting", "Look for a mistyped name in migration/settings.py.")


def _names_in_the_file() -> list[str]:
    path = settings_file()
    try:
        return list(loads(path.read_text())) if path else []
    except (OSError, ValueError):  # which reading the settings says in its own words
        return []


def _wrong(words: str, action: str = _CORRECT) -> Line:
    return Line(WHAT, Verdict(State.WRONG, redact_text(words), action))
