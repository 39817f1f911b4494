r"""What a remote command asks for: does it run the AWS Replication Agent's installer, and with which options.

Options as documented for `aws-replication-installer-init` and `AwsReplicationWindowsInstaller.exe` in the MGN user
guide, "Installing the AWS Replication Agent".
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_INSTALLERS = re.compile(
    r"(^|[/\\])(aws-replication-installer-init(\.py)?|AwsReplicationWindows(Legacy)?Installer\.exe)$", re.IGNORECASE
)
_ASSIGNMENT = re.compile(r"""\s*\$?(?P<name>\w+)\s*=\s*(?P<quote>['"]?)(?P<value>[^'"$]*)(?P=quote)\s*""")
_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>\w+)(?(brace)\})")
_SEPARATORS = ";&|()"
_OPTIONS = ("--region", "--user-provided-id", "--no-replication", "--no-prompt")


class InstallerOptionsError(ValueError):
    """The installer was run with options that it cannot work with."""


@dataclass(frozen=True)
class Installation:
    """One run of the installer."""

    region: str
    user_provided_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    no_replication: bool = False


def find_installation(lines: Sequence[str], *, windows: bool = False) -> Installation | None:
    """The installer run among the lines of a script, or None.

    Lines that fetch the installer or make it executable name it too, but give it no options.

    Raises:
        InstallerOptionsError: It is run without `--region` or `--no-prompt`, or with a tag that is not K=V.
    """
    for words in _commands(lines, windows=windows):
        place = next((index for index, word in enumerate(words) if _INSTALLERS.search(word)), None)
        if place is None:
            continue
        options = list(_options(words[place + 1 :]))
        if any(name in _OPTIONS for name, _ in options):
            return _installation(options)
    return None


def _installation(options: list[tuple[str, list[str]]]) -> Installation:
    given = dict(options)
    if not given.get("--region"):
        raise InstallerOptionsError("--region is missing")
    if "--no-prompt" not in given:
        raise InstallerOptionsError("--no-prompt is missing and nobody is there to answer")
    if bad := [tag for tag in given.get("--tags", []) if "=" not in tag]:
        raise InstallerOptionsError(f"not a tag: {bad[0]}")
    user_provided_id = given.get("--user-provided-id")
    return Installation(
        region=given["--region"][0],
        user_provided_id=user_provided_id[0] if user_provided_id else None,
        tags={key: value for key, _, value in (tag.partition("=") for tag in given.get("--tags", []))},
        no_replication="--no-replication" in given,
    )


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    name, values = "", list[str]()
    for word in words:
        if word.startswith("--"):
            if name:
                yield name, values
            name, equals, value = word.partition("=")
            values = [value] if equals else []
        else:
            values.append(word)
    if name:
        yield name, values


def _commands(lines: Sequence[str], *, windows: bool) -> Iterator[list[str]]:
    """The simple commands of a script, as words; a line that is no complete command is passed over.

    Variables stand for what a line of their own set them to, and for nothing but themselves otherwise.
    """
    continuation = "`\n" if windows else "\\\n"
    variables: dict[str, str] = {}
    for written in "\n".join(lines).replace("\r\n", "\n").replace(continuation, " ").split("\n"):
        if assignment := _ASSIGNMENT.fullmatch(written):
            variables[assignment["name"]] = assignment["value"]
        line = _VARIABLE.sub(lambda found: variables.get(found["name"], found[0]), written)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=_SEPARATORS)
        lexer.whitespace_split = True
        lexer.commenters = ""
        lexer.escape = "" if windows else "\\"
        try:
            yield from _simple(list(lexer))
        except ValueError:
            continue


def _simple(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word.startswith("#"):
            break
        if set(word) <= set(_SEPARATORS):
            yield command
            command = []
        else:
            command.append(word)
    yield command
