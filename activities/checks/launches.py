"""The target account: everything that replication and the launches will need is there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network

from activities.running import now
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import MOST_JOBS, MOST_SERVERS_IN_JOBS, finding
from migration.ports import ReplicationService, SourceServer, Subnet, TargetCloud
from migration.request import LaunchSettings, MigrationRequest, Network, TestMode
from migration.steps import Step

_JOBS_LAST = timedelta(days=1)
"""No job of MGN takes longer; those that began before have ended."""

_ENDED = frozenset({"COMPLETED"})


@dataclass(frozen=True)
class Launching:
    """One server's launch into one network, and the field of the request that says where."""

    server: str
    network: Network
    settings: LaunchSettings
    path: str


def planned_launches(request: MigrationRequest) -> list[Launching]:
    """List what the migration will launch: into production always, into the test network where a test is planned."""
    networks = [Network.PRODUCTION]
    if Step.TEST in request.planned_steps and request.test.mode is TestMode.LAUNCH:
        networks.append(Network.TEST)
    return [
        Launching(server.name, network, request.launch_settings(server.name, network), _path(request, index, network))
        for network in networks
        for index, server in enumerate(request.servers)
    ]


def _path(request: MigrationRequest, index: int, network: Network) -> str:
    if network is Network.TEST and request.target.test is not None:
        return "$.target.test"
    return f"$.source.servers[{index}].launch" if request.servers[index].launch.subnet_id else "$.target"


def check_account(request: MigrationRequest, cloud: TargetCloud) -> Iterator[Finding]:
    """Our credentials, after the assumed role, belong to the target account."""
    caller = cloud.caller()
    if caller != request.target.account_id:
        yield finding(
            FindingCode.WRONG_ACCOUNT,
            f"the credentials belong to account {caller}, the target is {request.target.account_id}",
            path="$.target.roleArn",
        )


def check_networks(request: MigrationRequest, cloud: TargetCloud) -> Iterator[Finding]:
    """Subnets with room, their security groups, and what each zone offers."""
    launches = planned_launches(request)
    needed = _addresses_needed(request, launches)
    subnets = cloud.subnets(sorted(needed))
    paths = {request.staging_subnet_id: "$.replication.stagingSubnetId"}
    paths |= {launching.settings.subnet_id: f"{launching.path}.subnetId" for launching in launches}
    for subnet_id, count in needed.items():
        yield from _check_subnet(subnet_id, subnets.get(subnet_id), count, paths[subnet_id])
    yield from _check_addresses(launches, subnets)
    yield from _check_groups(launches, cloud, subnets)
    yield from _check_types(launches, cloud, subnets)


def _addresses_needed(request: MigrationRequest, launches: Sequence[Launching]) -> Counter[str]:
    """Count addresses by subnet: one a server to replicate, one to launch it; test and production never run at once."""
    by_network = {network: Counter[str]() for network in Network}
    for launching in launches:
        by_network[launching.network][launching.settings.subnet_id] += 1
    return (by_network[Network.PRODUCTION] | by_network[Network.TEST]) + Counter(
        {request.staging_subnet_id: len(request.servers)}
    )


def _check_subnet(subnet_id: str, subnet: Subnet | None, count: int, path: str) -> Iterator[Finding]:
    if subnet is None:
        yield finding(
            FindingCode.SUBNET_MISSING,
            f"subnet {subnet_id} does not exist",
            subject=subnet_id,
            path=path,
        )
    elif subnet.free_addresses < count:
        yield finding(
            FindingCode.SUBNET_FULL,
            f"subnet {subnet_id} has {subnet.free_addresses} free addresses, {count} are needed",
            subject=subnet_id,
            path=path,
        )


def _check_addresses(launches: Sequence[Launching], subnets: Mapping[str, Subnet]) -> Iterator[Finding]:
    for one in launches:
        subnet, address = subnets.get(one.settings.subnet_id), one.settings.private_ip
        if subnet is not None and address is not None and ip_address(address) not in ip_network(subnet.cidr):
            message = f"{one.server} is to be launched as {address}, subnet {subnet.subnet_id} is {subnet.cidr}"
            yield finding(FindingCode.ADDRESS_OUTSIDE_SUBNET, message, subject=one.server, path=one.path)


def _check_groups(
    launches: Sequence[Launching], cloud: TargetCloud, subnets: Mapping[str, Subnet]
) -> Iterator[Finding]:
    wanted = {
        (group, one.settings.subnet_id): one.path for one in launches for group in one.settings.security_group_ids
    }
    vpcs = cloud.security_groups(sorted({group for group, _ in wanted}))
    for (group, subnet_id), path in wanted.items():
        if group not in vpcs:
            yield finding(
                FindingCode.SECURITY_GROUP_MISSING,
                f"security group {group} does not exist",
                subject=group,
                path=f"{path}.securityGroupIds",
            )
        elif subnet_id in subnets and subnets[subnet_id].vpc_id != vpcs[group]:
            yield finding(
                FindingCode.SECURITY_GROUP_IN_OTHER_VPC,
                f"security group {group} is in {vpcs[group]}, subnet {subnet_id} in {subnets[subnet_id].vpc_id}",
                subject=group,
                path=f"{path}.securityGroupIds",
            )


def _check_types(launches: Sequence[Launching], cloud: TargetCloud, subnets: Mapping[str, Subnet]) -> Iterator[Finding]:
    zones: dict[str, set[str]] = {}
    for launching in launches:
        if launching.settings.instance_type and (subnet := subnets.get(launching.settings.subnet_id)):
            zones.setdefault(subnet.zone, set()).add(launching.settings.instance_type)
    for zone, types in sorted(zones.items()):
        for missing in sorted(types - cloud.offered_instance_types(zone, sorted(types))):
            yield finding(
                FindingCode.INSTANCE_TYPE_NOT_OFFERED,
                f"zone {zone} does not offer {missing}",
                subject=missing,
                path="$.target.instanceType",
            )


def check_key_and_profiles(request: MigrationRequest, cloud: TargetCloud) -> Iterator[Finding]:
    """The KMS key is usable by MGN, and the instance profiles exist."""
    key = request.replication.kms_key_id
    if key is not None and (problem := cloud.key_problem(key)):
        yield finding(
            FindingCode.KMS_KEY_UNUSABLE,
            f"MGN cannot use KMS key {key}: {problem}",
            subject=key,
            path="$.replication.kmsKeyId",
        )
    for profile in sorted({one.settings.instance_profile or "" for one in planned_launches(request)} - {""}):
        if not cloud.profile_exists(profile):
            yield finding(
                FindingCode.INSTANCE_PROFILE_MISSING,
                f"instance profile {profile} does not exist",
                subject=profile,
                path="$.target.instanceProfile",
            )


def check_service(
    request: MigrationRequest,
    service: ReplicationService,
    user_provided_ids: Sequence[str],
    quota: int,
    known: dict[str, SourceServer],
) -> Iterator[Finding]:
    """MGN is initialised here, and has room for the servers that it does not replicate yet.

    Args:
        request: What is asked for.
        service: MGN in the target account and region.
        user_provided_ids: The machines that are to replicate.
        quota: How many may replicate there (L-9A599620).
        known: Takes the machines' live records, by user-provided id.
    """
    if not service.is_initialised():
        yield finding(
            FindingCode.MGN_NOT_INITIALISED,
            "MGN was never initialised in this account and region",
        )
        return
    known.update(service.find(user_provided_ids))
    new = len(set(user_provided_ids) - set(known))
    active = service.count_active()
    if active + new > quota:
        yield finding(
            FindingCode.MGN_QUOTA_EXCEEDED,
            f"{active} servers replicate here, {new} more would exceed MGN's quota of {quota} (L-9A599620)",
        )
    if Step.TEST in request.planned_steps:
        yield from _check_jobs(request, service)


def _check_jobs(request: MigrationRequest, service: ReplicationService) -> Iterator[Finding]:
    """A launch has one job for each tier, one after the other, and every server of the application in them."""
    active = [job for job in service.jobs(since=now() - _JOBS_LAST) if job.status not in _ENDED]
    servers = sum(len(job.servers) for job in active)
    largest = max(Counter(server.tier for server in request.servers).values())
    if len(active) >= MOST_JOBS or servers + largest > MOST_SERVERS_IN_JOBS:
        message = f"{len(active)} MGN jobs with {servers} servers are in progress now, a launch adds {largest} servers"
        yield finding(FindingCode.MGN_JOBS_BUSY, message)
