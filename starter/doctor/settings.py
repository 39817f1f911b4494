"""The first check: whether the settings can be read. Without them, only what needs none is looked at."""

from collections.abc import Iterator
from difflib import get_close_matches
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
    for name in _names_in_the_file():
        if name not in Settings.model_fields:
            yield _wrong(f"{name} is not a setting", _meant(name))
    for name in environment_names():
        # Other variables may begin alike, such as one that holds a secret; a mistyped setting is near to one.
        if name not in Settings.model_fields and _near(name):
            yield _wrong(f"MIGRATOR_{name.upper()} is not a setting", _meant(name))


def _meant(name: str) -> str:
    perhaps = f"Perhaps {' or '.join(near)} is meant. " if (near := _near(name)) else ""
    return f"{perhaps}All settings: migration/settings.py."


def _near(name: str) -> list[str]:
    return get_close_matches(name, Settings.model_fields, cutoff=0.8)


def _names_in_the_file() -> list[str]:
    path = settings_file()
    try:
        return list(loads(path.read_text())) if path else []
    except (OSError, ValueError):  # which reading the settings says in its own words
        return []


def _wrong(words: str, action: str = _CORRECT) -> Line:
    return Line(WHAT, Verdict(State.WRONG, redact_text(words), action))
