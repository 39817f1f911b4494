"""The MGN agent's installer, run through Systems Manager (MGN user guide, "Installing the AWS Replication Agent")."""

import re
from datetime import timedelta

from migration.errors import SourcePreparationError
from migration.ports import CommandResult

INSTALL_WITHIN = timedelta(minutes=20)
INSTALLED_AT_ONCE = 10

_REGISTERED = re.compile(r"source server ID: (s-[0-9a-zA-Z]{17})")
_FAILED = ("Installation failed", "Error details:", "error message")
_TAIL = 600

AGENT_BUCKET = "aws-application-migration-service-{region}.s3.{region}.amazonaws.com"
"""The host of the bucket that the agent comes from, in each region."""

_DOWNLOADS = f"https://{AGENT_BUCKET}/latest"
_OPTIONS = "--region {region} --no-prompt --no-replication --user-provided-id {id}"

# A hybrid-activated node keeps its role's credentials in a file: none are sent through Systems Manager.
_LINUX = """
set -eu
credentials=/root/.aws/credentials
value() {{ sed -n "s/^ *$1 *= *//p" "$credentials" | head -n 1; }}
if [ -r "$credentials" ]; then
  AWS_ACCESS_KEY_ID=$(value aws_access_key_id)
  AWS_SECRET_ACCESS_KEY=$(value aws_secret_access_key)
  AWS_SESSION_TOKEN=$(value aws_session_token)
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
fi
cd "$(mktemp -d)"
wget -q -O aws-replication-installer-init {downloads}/linux/aws-replication-installer-init
chmod +x aws-replication-installer-init
./aws-replication-installer-init {options}
"""
_WINDOWS = r"""
$ErrorActionPreference = 'Stop'
$credentials = "$env:SystemRoot\System32\config\systemprofile\.aws\credentials"
if (Test-Path $credentials) {{
  foreach ($line in Get-Content $credentials) {{
    if ($line -match '^\s*(aws_\w+)\s*=\s*(\S+)') {{ Set-Item "env:$($Matches[1].ToUpper())" $Matches[2] }}
  }}
}}
Set-Location (New-Item -ItemType Directory (Join-Path $env:TEMP ([guid]::NewGuid())))
$url = '{downloads}/windows/AwsReplicationWindowsInstaller.exe'
Invoke-WebRequest -UseBasicParsing -Uri $url -OutFile AwsReplicationWindowsInstaller.exe
.\AwsReplicationWindowsInstaller.exe {options}
exit $LASTEXITCODE
"""


def installer_lines(os: str, region: str, user_provided_id: str) -> list[str]:
    """Write the installation of one machine: registered in this region under this id, not replicating yet.

    The machine's own role signs, so it needs AWSApplicationMigrationAgentInstallationPolicy; no secret is in the lines.
    """
    script = _WINDOWS if os == "windows" else _LINUX
    options = _OPTIONS.format(region=region, id=user_provided_id)
    return script.format(downloads=_DOWNLOADS.format(region=region), options=options).strip().splitlines()


def refuse_failed_installation(server: str, result: CommandResult) -> None:
    """Fail unless the installer says that it registered the machine; its exit code alone is not to be trusted.

    Raises:
        SourcePreparationError: With the end of what the installer wrote.
    """
    written = f"{result.output}\n{result.error}".strip()
    failed = result.exit_code != 0 or any(words in written for words in _FAILED)
    if failed or not _REGISTERED.search(written):
        raise SourcePreparationError(
            f"the agent's installation on {server} ended with exit code {result.exit_code} "
            f"(command {result.command_id}): {written[-_TAIL:]}",
            action="Put right on the machine what the installer names, then retry the step.",
        )
