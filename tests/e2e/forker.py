"""Runs `migrator` and `aws` many times in a process that has them loaded: each command costs a fork, not an import.

Reads one JSON object a line: `words`, `directory`, and the files `out` and `err`; answers the exit code.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import awscli.clidriver

import starter.cli

_PROGRAMS: Mapping[str, Callable[[], Any]] = {"migrator": starter.cli.main, "aws": awscli.clidriver.main}


def main() -> None:
    """Serve until the end of the input."""
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if not child:
            _become(command)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(command: Mapping[str, Any]) -> None:
    """Be that program until it ends; never returns."""
    code = 1
    try:
        for number, (name, flags) in enumerate(
            [(os.devnull, os.O_RDONLY), (command["out"], os.O_WRONLY), (command["err"], os.O_WRONLY)]
        ):
            os.dup2(os.open(name, flags | os.O_CREAT), number)
        os.chdir(command["directory"])
        sys.argv = command["words"]
        code = int(_PROGRAMS[sys.argv[0]]() or 0)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
