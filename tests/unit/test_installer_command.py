import pytest

from activities.agent import installer_lines
from localcloud.aws.installer import Installation, InstallerOptionsError, find_installation

LINUX = [
    "set -e",
    "wget -q -O ./aws-replication-installer-init https://example.com/latest/linux/aws-replication-installer-init",
    "chmod +x ./aws-replication-installer-init",
]


INIT = "aws-replication-installer-init"
OPTIONS = "--user-provided-id id-1 --tags a=1 'b=two words' --no-replication"


@pytest.mark.parametrize(
    "run",
    [
        f"./{INIT} --region eu-central-1 {OPTIONS} --no-prompt",
        f"sudo -n ./{INIT} --region=eu-central-1 --no-prompt {OPTIONS} # --tags c=3",
        f"cd /tmp && sudo python3 ./{INIT}.py --region eu-central-1 --no-prompt {OPTIONS} || exit 1",
        f"./{INIT} --region eu-central-1 \\\n  --no-prompt \\\n  {OPTIONS}",
    ],
)
def test_the_installers_options_are_read_from_a_script_however_it_is_written(run: str) -> None:
    expected = Installation("eu-central-1", "id-1", {"a": "1", "b": "two words"}, no_replication=True)
    assert find_installation([*LINUX, run]) == expected
    assert find_installation(["\n".join([*LINUX, run])]) == expected


def test_the_windows_installer_is_read_with_its_backslashes() -> None:
    lines = [
        "$ProgressPreference = 'SilentlyContinue'",
        "Invoke-WebRequest -Uri https://example.com/AwsReplicationWindowsInstaller.exe -OutFile C:\\tmp\\a.exe",
        '& "C:\\tmp\\AwsReplicationWindowsInstaller.exe" --region eu-west-1 --user-provided-id id-2 --no-prompt',
    ]
    assert find_installation(lines, windows=True) == Installation("eu-west-1", "id-2")


@pytest.mark.parametrize(
    ("os", "windows"),
    [("linux", False), ("windows", True)],
)
def test_the_products_own_script_is_understood(os: str, windows: bool) -> None:
    lines = installer_lines(os, "eu-central-1", "id-3")
    assert find_installation(lines, windows=windows) == Installation("eu-central-1", "id-3", {}, no_replication=True)


def test_a_variable_stands_for_what_it_was_set_to() -> None:
    lines = ["where='eu-west-1'", "dir=/tmp", '"$dir/aws-replication-installer-init" --region ${where} --no-prompt']
    assert find_installation(lines) == Installation("eu-west-1")


@pytest.mark.parametrize(
    "lines",
    [
        LINUX,
        ["systemctl stop billing"],
        ["/var/lib/aws-replication-agent/uninstall-agent.sh"],
        ["echo 'unfinished"],
        ["# ./aws-replication-installer-init --region eu-central-1 --no-prompt"],
        [],
    ],
)
def test_a_script_that_does_not_run_the_installer_installs_nothing(lines: list[str]) -> None:
    assert find_installation(lines) is None


@pytest.mark.parametrize(
    "options", ["--no-prompt", "--region eu-central-1", "--region eu-central-1 --no-prompt --tags colour"]
)
def test_an_installer_without_what_it_needs_is_an_error(options: str) -> None:
    with pytest.raises(InstallerOptionsError):
        find_installation([f"./aws-replication-installer-init {options}"])
