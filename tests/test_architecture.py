import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("activities", "adapters", "localcloud", "migration", "starter", "workflows")
PRODUCT = ("activities", "adapters", "migration", "starter", "workflows", "worker.py")
READS_THE_ENVIRONMENT = {"migration/settings.py"}


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=directory, capture_output=True, text=True, check=False)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A copy of the project's code, to plant an import in."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("worker.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def python_files(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        yield from sorted((ROOT / name).rglob("*.py")) if (ROOT / name).is_dir() else [ROOT / name]


def test_imports_point_inward() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("workflows", "import boto3"),
        ("workflows", "from adapters import route53"),
        ("activities", "import worker"),
        ("activities", "import httpx"),
        ("migration", "import activities"),
        ("adapters", "import localcloud"),
        ("starter", "import localcloud"),
    ],
)
def test_an_import_that_points_outward_is_refused(planted: Path, package: str, line: str) -> None:
    planted.joinpath(package, "planted.py").write_text(f"{line}\n")
    done = lint_imports(planted)
    assert done.returncode == 1, done.stdout
    assert f"{package}.planted" in done.stdout


def test_nobody_else_provides_the_projects_top_level_names() -> None:
    providers = packages_distributions()
    assert {name: set(providers.get(name, ())) - {"migrator"} for name in (*PACKAGES, "worker")} == {
        name: set() for name in (*PACKAGES, "worker")
    }


def test_the_environment_is_read_in_the_settings_alone() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in python_files(PRODUCT)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {"environ", "getenv"} & _names(node))
    }
    assert readers <= READS_THE_ENVIRONMENT


def _names(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}


def test_the_project_names_no_place_of_the_machine_it_was_written_on() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    places = re.compile(rb"(?<![\w.$}>])/(root|work|home|Users)/[a-z]")
    assert [
        name for name in tracked if name and (path := ROOT / name).is_file() and places.search(path.read_bytes())
    ] == []
