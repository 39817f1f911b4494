"""`python -m localcloud up | prepare | demo`: the embedded default on one machine."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from localcloud.process import FOREIGN_VARIABLES
from localcloud.temporal import TemporalError, find_temporal
from localcloud.toolchain import BuildError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _keep_to_this_machine()
    if words[:1] == ["demo"]:
        # Imported only here, so that `prepare` needs nothing but the two programs' own modules.
        return int(importlib.import_module("localcloud.demo").main(words[1:]))
    chosen = _parser().parse_args(words)
    # A closed terminal and an orderly stop are the same wish as Ctrl-C, which a shell's background jobs ignore.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    try:
        return _prepare() if chosen.command == "prepare" else _up(chosen)
    except KeyboardInterrupt:
        return 0 if chosen.command == "up" else 130
    except (TemporalError, BuildError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _keep_to_this_machine() -> None:
    """Let nothing in the caller's environment lead the local cloud to other systems."""
    for name in [name for name in os.environ if name.startswith(FOREIGN_VARIABLES)]:
        del os.environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="find or build the Temporal server and the vCenter simulator, and nothing else")
    up = commands.add_parser("up", help="run the local cloud until Ctrl-C")
    up.add_argument("--state-dir", type=Path, required=True, metavar="DIR", help="where local.json and the rest go")
    up.add_argument("--applications", type=_positive, default=4, metavar="M", help="applications (default 4)")
    up.add_argument("--servers", type=_positive, default=1, metavar="N", help="servers of each (default 1)")
    up.add_argument("--clock", type=_factor, metavar="FACTOR", help="seconds of AWS that pass in a real one")
    up.add_argument("--temporal", metavar="ADDRESS", help="HOST:PORT of a running Temporal server; none is started")
    up.add_argument("--no-worker", action="store_true", help="start no worker and no ingress")
    commands.add_parser("demo", help="two migrations from end to end", add_help=False)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("a whole number of at least 1")
    return int(text)


def _factor(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def _prepare() -> int:
    from localcloud.vcenter.build import vcenter_binary  # noqa: PLC0415  after the words of the command were checked

    find_temporal(_say)
    vcenter_binary(_say)
    return 0


def _up(chosen: argparse.Namespace) -> int:
    from localcloud.up import run_until_stopped  # noqa: PLC0415  loads moto, which takes a moment

    return run_until_stopped(
        chosen.state_dir,
        applications=chosen.applications,
        servers=chosen.servers,
        clock_factor=chosen.clock,
        temporal_address=chosen.temporal,
        workers=not chosen.no_worker,
        say=_say,
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
