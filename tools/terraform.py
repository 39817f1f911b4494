"""Terraform, found or built, and what can be tested with it on a machine that has no AWS provider.

`python -m tools.terraform` says where it is: on PATH, in the cache, or built into the cache. With `test` after it, it
runs `terraform fmt -check`, and `terraform test` of the modules that need no provider; with `validate`, `terraform
validate` of what is applied, for which the provider is fetched.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from localcloud.toolchain import BuildError, cache_dir, exclusively, go_environment, go_toolchain, run_with_progress
from tools.terraform_files import TERRAFORM
from tools.terraform_lint import APPLIED_BY_ITSELF, WITHOUT_PROVIDER

BUILT = "1.8.5"
"""The last that `go install` takes: since 1.9 its go.mod has replace directives. It tests, but `use_lockfile` of the
state's backend takes 1.11, which is what the root says."""

LEAST = (1, 8)


def find_terraform() -> Path:
    """The machine's own where it is new enough, else that of the cache, built once.

    Raises:
        BuildError: There is none, and it could not be built.
    """
    kept = cache_dir() / f"terraform-{BUILT}" / "terraform"
    if found := _on_path():
        return found
    with exclusively("terraform", _say):
        if not os.access(kept, os.X_OK):
            _build(kept)
    return kept


def _on_path() -> Path | None:
    found = shutil.which("terraform")
    if found is None:
        return None
    said = subprocess.run([found, "version"], env=environment(), capture_output=True, text=True, check=False).stdout  # noqa: S603  the machine's own
    version = re.search(r"Terraform v(\d+)\.(\d+)", said)
    return Path(found) if version and tuple(map(int, version.groups())) >= LEAST else None


def _build(kept: Path) -> None:
    go = go_toolchain(_say)
    _say(f"building Terraform {BUILT}; the first time this takes some minutes")
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="terraform-build-") as scratch:
        run_with_progress(
            [go, "install", "-ldflags", "-s -w", f"github.com/hashicorp/terraform@v{BUILT}"],
            go_environment() | {"GOBIN": scratch},
            _say,
            cwd=Path(scratch),
            what="building Terraform",
        )
        kept.parent.mkdir(exist_ok=True)
        Path(scratch, "terraform").replace(kept)


FORMAT = ["fmt", "-check", "-diff", "-recursive", "."]
INIT = ["init", "-backend=false", "-input=false"]
TEST = [FORMAT, *([f"-chdir={module}", *command] for module in WITHOUT_PROVIDER for command in (INIT, ["test"]))]
VALIDATE = [[f"-chdir={module}", *command] for module in APPLIED_BY_ITSELF for command in (INIT, ["validate"])]
ASKED = {"test": TEST, "validate": VALIDATE}


def run(terraform: Path, commands: list[list[str]]) -> int:
    """Run commands of Terraform on a copy, since it writes beside what it reads; the code of the first that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(TERRAFORM, Path(scratch, "terraform"))
        shutil.copytree(TERRAFORM.parent / "telemetry", Path(scratch, "telemetry"))
        for arguments in commands:
            _say(f"terraform {' '.join(arguments)}")
            done = subprocess.run([terraform, *arguments], cwd=copy, env=environment(), check=False)  # noqa: S603  found above
            if done.returncode:
                return done.returncode
    return 0


def environment() -> dict[str, str]:
    """The machine's, less what it says of Terraform: no variables, no working folder, no look for a newer one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return kept | {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull, "TF_IN_AUTOMATION": "1"}


def _say(line: str) -> None:
    sys.stderr.write(f"terraform: {line}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Find it, and run what was asked for."""
    try:
        terraform = find_terraform()
    except BuildError as error:
        _say(str(error))
        return 1
    _say(str(terraform))
    return run(terraform, [command for asked in arguments for command in ASKED[asked]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
