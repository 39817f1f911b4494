"""The script that looks at what the MGN agent needs, and its answers, `name=value` a line.

It only reads: the user, free space, and whether a TCP connection can be made, which is closed at once.
"""

from collections.abc import Mapping

from activities.agent import AGENT_BUCKET

_MGN = "mgn.{region}.amazonaws.com"
_NAMES = frozenset({"root", "free_root", "free_tmp", "mgn", "s3", "staging", "dhcp"})
_NUMBERS = ("free_root", "free_tmp")

# A connection that is refused has found its way; one that nobody answers may have been dropped, or not.
_LINUX = """
# Looks at what the AWS Replication Agent needs; changes nothing.
connects() {{
  if ! command -v bash >/dev/null || ! command -v timeout >/dev/null; then echo unknown; return; fi
  said=$(LC_ALL=C timeout 5 bash -c ": </dev/tcp/$1/$2" 2>&1)
  code=$?
  case "$code $said" in
    0*) echo open ;;
    *refused*) echo refused ;;
    *"No route"*|*unreachable*) echo unreachable ;;
    *) echo silent ;;
  esac
}}
free() {{ df -Pk "$1" | awk 'END {{ print int($4 / 1024) }}'; }}
root=no
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then root=yes; fi
dhcp=no
for client in dhclient dhcpcd udhcpc wicked NetworkManager systemd-networkd; do
  for place in /sbin /usr/sbin /bin /usr/bin /lib/systemd /usr/lib/systemd; do
    if [ -x "$place/$client" ]; then dhcp=yes; fi
  done
done
echo "root=$root"
echo "free_root=$(free /)"
echo "free_tmp=$(free /tmp)"
echo "mgn=$(connects {mgn} 443)"
echo "s3=$(connects {s3} 443)"
echo "staging=$({staging})"
echo "dhcp=$dhcp"
"""
_WINDOWS = """
# Looks at what the AWS Replication Agent needs; changes nothing.
function Connects($name, $port) {{
  $client = New-Object Net.Sockets.TcpClient
  try {{
    if (-not $client.ConnectAsync($name, $port).Wait(5000)) {{ return 'silent' }}
    return 'open'
  }} catch {{
    $cause = $_.Exception.GetBaseException()
    if ($cause.SocketErrorCode -eq 'ConnectionRefused') {{ return 'refused' }}
    if ($cause.SocketErrorCode -in 'HostUnreachable', 'NetworkUnreachable') {{ return 'unreachable' }}
    return 'silent'
  }} finally {{ $client.Close() }}
}}
function Free($path) {{
  $drive = (Get-Item $path).PSDrive
  return [math]::Floor($drive.Free / 1MB)
}}
$identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
$root = if ($identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {{ 'yes' }} else {{ 'no' }}
$dhcp = if (Get-Service -Name Dhcp -ErrorAction SilentlyContinue) {{ 'yes' }} else {{ 'no' }}
Write-Output "root=$root"
Write-Output "free_root=$(Free "$env:SystemDrive\\")"
Write-Output "free_tmp=$(Free $env:TEMP)"
Write-Output "mgn=$(Connects '{mgn}' 443)"
Write-Output "s3=$(Connects '{s3}' 443)"
Write-Output "staging=$({staging})"
Write-Output "dhcp=$dhcp"
"""


def look_lines(os: str, region: str, staging_address: str | None) -> list[str]:
    """Write the look of one machine, in shell (linux) or PowerShell (windows).

    Args:
        os: `linux` or `windows`.
        region: Whose endpoints the agent will need.
        staging_address: An address of the staging subnet to find the way to; None: not asked.
    """
    script, call = (_WINDOWS, "Connects '{}' 1500") if os == "windows" else (_LINUX, "connects {} 1500")
    staging = call.format(staging_address) if staging_address else "echo unknown"
    mgn, s3 = _MGN.format(region=region), AGENT_BUCKET.format(region=region)
    return script.format(mgn=mgn, s3=s3, staging=staging).strip().splitlines()


def answers(output: str) -> Mapping[str, str] | None:
    """What the look found, by name; None when it did not come to its end."""
    said = dict(line.strip().split("=", 1) for line in output.splitlines() if "=" in line)
    whole = said.keys() >= _NAMES and all(said[name].isdecimal() for name in _NUMBERS)
    return said if whole else None
