"""Every code of the validate step: how grave it is, what it means, what to do. `docs/findings.md` comes from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from migration.findings import Finding, FindingCode, Severity

MOST_DISKS = 60
"""Disks of one source server that MGN replicates: the API's bound of `replicatedDisks`."""

MOST_ATTACHMENTS = 28
"""What most Nitro instance types attach: network interfaces, EBS volumes and instance store together (EC2 user
guide, "Amazon EBS volume limits for Amazon EC2 instances")."""

MOST_JOBS, MOST_SERVERS_IN_JOBS = 20, 200
"""MGN jobs in progress (L-FE2EBE17), and source servers in all of them (L-4FF77426), in an account and region."""

FREE_DAYS = 90
"""How long a source server replicates free of charge: 2,160 hours from its agent's installation (MGN pricing)."""

ROOT_FREE_MB, TEMPORARY_FREE_MB = 2048, 512
"""What the agent's installation needs, in MiB (MGN user guide, "Installation requirements")."""


@dataclass(frozen=True)
class Meaning:
    """What a code says to the person who reads it."""

    severity: Severity
    means: str
    action: str


def _critical(means: str, action: str) -> Meaning:
    return Meaning(Severity.CRITICAL, means, action)


def _warning(means: str, action: str) -> Meaning:
    return Meaning(Severity.WARNING, means, action)


def _information(means: str, action: str) -> Meaning:
    return Meaning(Severity.INFORMATION, means, action)


CATALOGUE: Mapping[FindingCode, Meaning] = {
    # --- the request ---------------------------------------------------------------------------------------------
    FindingCode.NOT_OFFERED: _critical(
        "The schema accepts what is asked for; this version does not do it.",
        "Leave it out, or wait for a version that offers it.",
    ),
    FindingCode.UNKNOWN_CONNECTION: _critical(
        "The request names a connection that the worker's settings do not have.",
        "Name a connection of the settings, or add this one to them.",
    ),
    FindingCode.LOOK_REFUSED: _critical(
        "A system refused a look: the worker may not read there.",
        "Allow the look, then retry.",
    ),
    FindingCode.WINDOW_PAST: _critical(
        "The cutover window is over, so the cutover would wait for ever.",
        "Ask for a window that is still to come.",
    ),
    FindingCode.CALLBACK_REFUSED: _critical(
        "The callback URL leads where no callback may go.",
        "Name an endpoint that may be called, or none.",
    ),
    FindingCode.MIGRATION_ID_TAKEN: _critical(
        "The migrationId belongs to another request, or to a migration that has ended for good.",
        "Choose another migrationId, or send the request as it was.",
    ),
    FindingCode.SERVER_IN_OTHER_MIGRATION: _critical(
        "Another live migration holds the source server.",
        "Wait until that migration has ended, or abandon it.",
    ),
    # --- the target account --------------------------------------------------------------------------------------
    FindingCode.WRONG_ACCOUNT: _critical(
        "The worker's credentials, after the assumed role, belong to another account; nothing else is looked at there.",
        "Name a role of the target account that the worker may assume.",
    ),
    FindingCode.SUBNET_MISSING: _critical(
        "A subnet of the request does not exist in the target account and region.",
        "Name a subnet of the target account and region.",
    ),
    FindingCode.SUBNET_FULL: _critical(
        "A subnet has fewer free addresses than servers will need: one each to replicate, and one each to be launched.",
        "Free addresses, or name a larger subnet.",
    ),
    FindingCode.ADDRESS_OUTSIDE_SUBNET: _critical(
        "A server is to get an address that its production subnet does not have: its launch would fail.",
        "Name an address of the subnet, another subnet, or privateIp auto.",
    ),
    FindingCode.SECURITY_GROUP_MISSING: _critical(
        "A security group of the request does not exist in the target account and region.",
        "Name a security group of the target account and region.",
    ),
    FindingCode.SECURITY_GROUP_IN_OTHER_VPC: _critical(
        "A security group belongs to another VPC than the subnet that it is for.",
        "Name a security group of the subnet's VPC.",
    ),
    FindingCode.INSTANCE_TYPE_NOT_OFFERED: _critical(
        "The subnet's Availability Zone does not offer the instance type.",
        "Choose a type that the zone offers, or a subnet of another zone.",
    ),
    FindingCode.INSTANCE_PROFILE_MISSING: _critical(
        "The instance profile does not exist in the target account.",
        "Create the instance profile, or name another.",
    ),
    FindingCode.KMS_KEY_UNUSABLE: _critical(
        "MGN cannot encrypt with the KMS key: it is missing, disabled, or not a symmetric one.",
        "Enable the key and let MGN's service-linked role use it.",
    ),
    FindingCode.MGN_NOT_INITIALISED: _critical(
        "MGN was never initialised in this account and region.",
        "Initialise MGN once: its console does, or the API's InitializeService.",
    ),
    FindingCode.MGN_QUOTA_EXCEEDED: _critical(
        "More servers would replicate than MGN allows (L-9A599620, 150 unless AWS raised it).",
        "Finalize or disconnect servers first; or have AWS raise the quota, and the setting "
        "mgn_replicating_servers_quota with it.",
    ),
    FindingCode.MGN_JOBS_BUSY: _information(
        f"Launched now, the migration would exceed MGN's {MOST_JOBS} jobs in progress (L-FE2EBE17) or "
        f"{MOST_SERVERS_IN_JOBS} servers in them (L-4FF77426); a launch waits and tries again.",
        "Cut over at another time than the migrations beside it.",
    ),
    FindingCode.FREE_PERIOD_EXCEEDED: _warning(
        f"Replication's deadline, the soak and the grace period add up to more than the {FREE_DAYS} days for which "
        "MGN replicates a server free of charge.",
        "Shorten replication.deadline, soak.for or grace; or accept the charge for each server and hour.",
    ),
    # --- the source machines -------------------------------------------------------------------------------------
    FindingCode.MACHINE_MISSING: _critical(
        "The hypervisor has no machine of this name, or several.",
        "Correct the machine's name, or make it unique.",
    ),
    FindingCode.MACHINE_NAMED_TWICE: _critical(
        "Two servers of the request are the same machine.",
        "Name each machine once.",
    ),
    FindingCode.MACHINE_POWERED_OFF: _critical(
        "The machine does not run, so that it cannot replicate.",
        "Switch the machine on.",
    ),
    FindingCode.MACHINE_HAS_SNAPSHOTS: _warning(
        "The machine has snapshots already, which slow its disks down while everything is read.",
        "Remove the snapshots that nobody needs.",
    ),
    FindingCode.MACHINE_ENCRYPTED: _information(
        "The hypervisor encrypts the machine. Its agent reads plain data: in AWS the volumes are encrypted by EBS.",
        "Name replication.kmsKeyId if a key of your own is to protect them.",
    ),
    FindingCode.CONSOLIDATION_NEEDED: _warning(
        "The machine's disks wait for a consolidation: another snapshot would add to a chain that is broken already.",
        "Consolidate the machine's disks in vCenter.",
    ),
    FindingCode.TOOLS_NOT_RUNNING: _warning(
        "No guest tools run: at the cutover the machine's power is cut instead of a shutdown.",
        "Start the guest tools.",
    ),
    FindingCode.ADDRESS_MISSING: _warning(
        "The guest tools run and report no address, so that nothing shows that this is the right machine.",
        "Look at the machine's network, and make sure that the request names the right machine.",
    ),
    FindingCode.ADDRESS_DIFFERS: _warning(
        "The machine has other addresses than the request says.",
        "Make sure that the request names the right machine.",
    ),
    FindingCode.GUEST_OS_UNSUPPORTED: _critical(
        "The hypervisor says that the machine runs a system for which there is no MGN agent.",
        "Migrate it in another way; or correct the guest OS in vCenter if it says the wrong thing.",
    ),
    FindingCode.GUEST_OS_UNKNOWN: _warning(
        "The hypervisor's word for the machine's system is none that MGN is known to support.",
        "Compare the system with MGN's list of supported operating systems; correct the guest OS in vCenter.",
    ),
    FindingCode.GUEST_OS_DIFFERS: _critical(
        "The hypervisor says Windows where the request says Linux, or the other way round.",
        "Correct the server's os, or the guest OS in vCenter.",
    ),
    FindingCode.DISKS_TOO_MANY: _critical(
        f"The machine has more disks than the {MOST_DISKS} that MGN replicates of one server.",
        "Merge disks, or migrate the server in another way.",
    ),
    FindingCode.DISKS_MANY: _warning(
        f"Most instance types attach {MOST_ATTACHMENTS} volumes and network interfaces together; the machine's disks "
        "and its network card are more.",
        "Choose an instance type that attaches as many volumes.",
    ),
    FindingCode.DISK_TOO_LARGE: _critical(
        "A disk is larger than an EBS volume of the launch's type can be (gp2 and gp3: 16 TiB; standard: 1 TiB).",
        "Choose another launch.volumeType, or split the disk.",
    ),
    FindingCode.DISK_RAW_MAPPED: _warning(
        "A disk is a raw device mapping: the agent replicates it, the source's snapshot lacks it or fails.",
        "Set sourceSnapshot to none, or turn the mapping into a virtual disk.",
    ),
    FindingCode.DISK_INDEPENDENT: _warning(
        "A disk is independent: the agent replicates it, and the source snapshot at the cutover leaves it out.",
        "Make the disk dependent, or take care of its way back yourself.",
    ),
    FindingCode.DISK_SHARED: _warning(
        "A disk is shared with other machines (multi-writer, or a shared SCSI bus): each of them would get a copy of "
        "its own, and whoever stays behind goes on writing.",
        "Migrate all machines of the cluster together, onto a storage that they can share in AWS.",
    ),
    FindingCode.PASSTHROUGH_DEVICE: _warning(
        "The machine uses a device of its host (PCI or USB passthrough), which stays behind.",
        "Make sure that the application runs without it, or choose an instance type that has one.",
    ),
    FindingCode.VIRTUAL_TPM: _warning(
        "The machine has a virtual TPM, whose keys stay behind: what they seal, such as BitLocker, does not open.",
        "Suspend what the TPM seals before the cutover, and keep the recovery keys at hand.",
    ),
    # --- inside the machines -------------------------------------------------------------------------------------
    FindingCode.MANAGED_INSTANCE_MISSING: _critical(
        "Systems Manager does not know the machine, or knows several of its name.",
        "Activate the machine in Systems Manager, or install the agent beforehand.",
    ),
    FindingCode.MANAGED_INSTANCE_OFFLINE: _critical(
        "The machine does not answer Systems Manager.",
        "Start the SSM agent on the machine, and let it reach Systems Manager.",
    ),
    FindingCode.AGENT_NOT_LOOKED_AT: _warning(
        "The look at what the agent needs came to no answer, so that its installation may fail.",
        "Look at the command in Systems Manager, and at the machine.",
    ),
    FindingCode.AGENT_WITHOUT_ROOT: _critical(
        "Commands on the machine run without root (Windows: administrator) and sudo: the agent cannot be installed.",
        "Let the SSM agent run as root or as the local system.",
    ),
    FindingCode.AGENT_SPACE_LOW: _critical(
        f"The agent's installation needs {ROOT_FREE_MB} MiB free on / (Windows: C:) and {TEMPORARY_FREE_MB} MiB for "
        "temporary files.",
        "Free space on the machine.",
    ),
    FindingCode.AGENT_ENDPOINT_UNREACHABLE: _critical(
        "The machine does not reach MGN, or the bucket with its agent, on TCP port 443.",
        "Open outbound 443 to mgn.REGION.amazonaws.com and to the agent's bucket.",
    ),
    FindingCode.AGENT_STAGING_UNREACHABLE: _warning(
        "The machine has no way to the staging subnet, where it must reach replication servers on TCP port 1500. "
        "A firewall that drops packets in silence cannot be told from an address that nobody has yet.",
        "Route the staging subnet from the data centre, and open TCP port 1500 to it.",
    ),
    FindingCode.AGENT_DHCP_MISSING: _warning(
        "The machine has no DHCP client that is known here, so that the launched instance may get no address.",
        "Install dhclient, or another DHCP client that starts at boot.",
    ),
    # --- DNS and CMDB --------------------------------------------------------------------------------------------
    FindingCode.ZONE_MISSING: _critical(
        "The hosted zone does not exist, or its name is ambiguous.",
        "Name a hosted zone that exists, by its id where the name is ambiguous.",
    ),
    FindingCode.RECORD_MISSING: _warning(
        "The DNS record does not exist yet: the switch creates it, a rollback removes it.",
        "Make sure that the name is the one that clients use.",
    ),
    FindingCode.ITEM_MISSING: _critical(
        "The CMDB has no such item.",
        "Correct the item's id, or create the item.",
    ),
    # --- hooks and the change ticket -----------------------------------------------------------------------------
    FindingCode.HOOK_IMPOSSIBLE: _critical(
        "A hook cannot run at its place, since its machine is off then; or hooks alone are to make the source quiet, "
        "and none does.",
        "Move the hook to a place where its machine runs, or let it be a webhook; with quiesce.method hookOnly, add "
        "one beforeQuiesce on the source with onFailure fail.",
    ),
    FindingCode.HOOK_REFUSED: _critical(
        "The URL of a webhook leads where none may go.",
        "Name an endpoint that may be called.",
    ),
    FindingCode.HOOK_FAILED: _warning(
        "A hook with onFailure warn has failed, while the migration ran.",
        "See what the hook was to do, and do it by hand where it matters.",
    ),
    FindingCode.CHANGE_MISSING: _critical(
        "ServiceNow has no change ticket of that number.",
        "Name a change ticket that exists, and that the connection's account may read.",
    ),
    FindingCode.CHANGE_OVER: _critical(
        "The change ticket is closed or cancelled.",
        "Ask for a new change, and name its ticket.",
    ),
    # --- Cloud Migration Factory ---------------------------------------------------------------------------------
    FindingCode.FACTORY_WAVE_MISSING: _critical(
        "CMF has no wave of that id.",
        "Name the wave by CMF's own id, a number, not by its name.",
    ),
    FindingCode.FACTORY_STATUS_NOT_ALLOWED: _warning(
        "CMF's schema does not allow a wave to be what it would be told, so that it will not be told.",
        "Add the value to the attribute wave_status of the schema wave.",
    ),
    FindingCode.FACTORY_SERVER_MISSING: _critical(
        "CMF does not have the server.",
        "Import it into CMF: its server_name or server_fqdn is the name, the VM or the address of the request.",
    ),
    FindingCode.FACTORY_SERVER_IN_OTHER_WAVE: _critical(
        "CMF has the server in another wave, or in none.",
        "Name its wave, or move its application into this one.",
    ),
    FindingCode.FACTORY_SERVER_AMBIGUOUS: _critical(
        "More than one server of the wave bears the server's name.",
        "Leave one of them in CMF.",
    ),
    FindingCode.FACTORY_SERVER_NOT_REHOSTED: _warning(
        "CMF means something else than Rehost for the server, so that its wave does not count it.",
        "Set its r_type to Rehost.",
    ),
    FindingCode.FACTORY_TARGET_DIFFERS: _warning(
        "CMF sends the application to another account or region than the request.",
        "Correct the application in CMF, or the target of the request.",
    ),
}


def finding(
    code: FindingCode, message: str, *, action: str | None = None, subject: str | None = None, path: str | None = None
) -> Finding:
    """A finding as grave as its code says; `action` where a better one is known than the code's."""
    meaning = CATALOGUE[code]
    return Finding(
        code=code,
        severity=meaning.severity,
        message=message,
        action=action or meaning.action,
        subject=subject,
        path=path,
    )


_HEAD = """\
# Findings

What the step `validate`, and `migrator plan` before it, can find. The codes are stable: programs may match them.

A *critical* finding blocks the migration. A *warning* waits for `migrator acknowledge` before anything is touched,
unless the request says `warnings: ignore`. *Information* is only told.

Written from `migration/findings/catalogue.py` by `make generated`.

| code | severity | what it means | what to do |
|---|---|---|---|
"""


def document() -> str:
    """Write `docs/findings.md`."""
    rows = (f"| `{code}` | {one.severity} | {one.means} | {one.action} |\n" for code, one in CATALOGUE.items())
    return _HEAD + "".join(rows)
