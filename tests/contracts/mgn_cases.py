"""A call that MGN accepts, and one that it refuses, for each operation that the local MGN offers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.contracts.mgn_site import Site

NONE = "0" * 17

Parameters = Callable[[Site], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A call that is accepted, and one that is refused with that code."""

    accepted: Parameters
    refused: Parameters
    code: str


def application(site: Site, **more: Any) -> str:
    return str(site.mgn.create_application(name="billing", **more)["applicationID"])


def wave(site: Site) -> str:
    return str(site.mgn.create_wave(name="wave-07")["waveID"])


REPLICATION_TEMPLATE = {
    "stagingAreaSubnetId": "subnet-0123456789abcdef0",
    "associateDefaultSecurityGroup": True,
    "replicationServersSecurityGroupsIDs": [],
    "replicationServerInstanceType": "t3.small",
    "useDedicatedReplicationServer": False,
    "defaultLargeStagingDiskType": "GP3",
    "ebsEncryption": "DEFAULT",
    "bandwidthThrottling": 0,
    "dataPlaneRouting": "PRIVATE_IP",
    "createPublicIP": False,
    "stagingAreaTags": {"a": "b"},
}
ACTION = {"actionID": "a1", "actionName": "install", "documentIdentifier": "AWS-RunShellScript", "order": 1001}


def replication_template(site: Site) -> str:
    made = site.mgn.create_replication_configuration_template(**REPLICATION_TEMPLATE)
    return str(made["replicationConfigurationTemplateID"])


def launch_template(site: Site) -> str:
    return str(site.mgn.create_launch_configuration_template(copyTags=True)["launchConfigurationTemplateID"])


def with_action(site: Site, owner: dict[str, str]) -> dict[str, Any]:
    template = "launchConfigurationTemplateID" in owner
    put = site.mgn.put_template_action if template else site.mgn.put_source_server_action
    put(**owner, **ACTION)
    return {**owner, "actionID": "a1"}


def _owner(action: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in action.items() if member != "actionID"}


def ended_job(site: Site) -> str:
    return str(site.launch("start_test", site.ready())["jobID"])


def archived(site: Site) -> str:
    server_id = site.in_state("DISCONNECTED")
    site.backend.mark_as_archived(server_id)
    return server_id


def paused(site: Site) -> str:
    server_id = site.ready()
    site.backend.pause_replication(server_id)
    return server_id


def stalled(site: Site) -> str:
    server_id = site.ready()
    site.power("web-01", on=False)
    site.wait(900)
    return server_id


def in_application(site: Site) -> dict[str, Any]:
    server_id, app_id = site.register(), application(site)
    site.backend.associate_source_servers(app_id, [server_id])
    return {"applicationID": app_id, "sourceServerIDs": [server_id]}


def in_wave(site: Site) -> dict[str, Any]:
    wave_id, app_id = wave(site), application(site)
    site.backend.associate_applications(wave_id, [app_id])
    return {"waveID": wave_id, "applicationIDs": [app_id]}


def archived_group(site: Site, kind: str) -> dict[str, Any]:
    group_id = application(site) if kind == "application" else wave(site)
    getattr(site.backend, f"archive_{kind}")(group_id)
    return {f"{kind}ID": group_id}


def of_job(site: Site) -> dict[str, Any]:
    return {"jobID": ended_job(site)}


def active_job(site: Site) -> dict[str, Any]:
    return {"jobID": site.mgn.start_test(sourceServerIDs=[site.ready()])["job"]["jobID"]}


def ready(site: Site) -> dict[str, Any]:
    return {"sourceServerID": site.ready()}


def in_state(state: str, **more: Any) -> Parameters:
    return lambda site: {"sourceServerID": site.in_state(state), **more}


def all_in_state(state: str) -> Parameters:
    return lambda site: {"sourceServerIDs": [site.in_state(state)]}


def after(make: Callable[[Site], str], **parameters: Any) -> Parameters:
    """The parameters, once that is there."""

    def build(site: Site) -> dict[str, Any]:
        make(site)
        return parameters

    return build


def with_id(member: str, make: Callable[[Site], str], **more: Any) -> Parameters:
    return lambda site: {member: make(site), **more}


def just(**parameters: Any) -> Parameters:
    return lambda site: parameters


def arn_of(site: Site) -> str:
    return str(site.server(site.ready())["arn"])


def uninitialised(site: Site) -> dict[str, Any]:
    site.backend.initialized = False
    return {}


UNKNOWN_ARN = f"arn:aws:mgn:eu-central-1:123456789012:source-server/s-{NONE}"
SERVER, APPLICATION, WAVE = (
    {"sourceServerID": f"s-{NONE}"},
    {"applicationID": f"app-{NONE}"},
    {"waveID": f"wave-{NONE}"},
)
RCT, LCT = f"rct-{NONE}", f"lct-{NONE}"
CONFLICT, NOT_FOUND, INVALID = "ConflictException", "ResourceNotFoundException", "ValidationException"
UNINITIALIZED = "UninitializedAccountException"
TO_READY, TO_CUTOVER = {"lifeCycle": {"state": "READY_FOR_CUTOVER"}}, {"lifeCycle": {"state": "CUTOVER"}}
VOLUME = {"volumeType": "gp3", "iops": 3000, "throughput": 125, "deleteOnTermination": "DISABLED"}
SLOW = {"volumeType": "gp2", "iops": 3000}

CASES: dict[str, Case] = {
    "InitializeService": Case(just(), just(), ""),  # only what cannot be parsed is refused: see below
    "DescribeSourceServers": Case(
        lambda site: {"filters": {"sourceServerIDs": [site.ready()]}}, uninitialised, UNINITIALIZED
    ),
    "UpdateSourceServer": Case(in_state("NOT_READY", platform="linux"), just(**SERVER), NOT_FOUND),
    "DeleteSourceServer": Case(with_id("sourceServerID", archived), in_state("DISCONNECTED"), CONFLICT),
    "ChangeServerLifeCycleState": Case(in_state("TESTING", **TO_READY), in_state("TESTING", **TO_CUTOVER), CONFLICT),
    "StartTest": Case(all_in_state("READY_FOR_TEST"), all_in_state("NOT_READY"), CONFLICT),
    "StartCutover": Case(all_in_state("READY_FOR_CUTOVER"), all_in_state("TESTING"), CONFLICT),
    "TerminateTargetInstances": Case(all_in_state("READY_FOR_CUTOVER"), all_in_state("READY_FOR_TEST"), CONFLICT),
    "FinalizeCutover": Case(in_state("CUTTING_OVER"), in_state("READY_FOR_CUTOVER"), CONFLICT),
    "DisconnectFromService": Case(ready, in_state("DISCONNECTED"), CONFLICT),
    "MarkAsArchived": Case(in_state("DISCONNECTED"), ready, CONFLICT),
    "StartReplication": Case(in_state("STOPPED"), ready, CONFLICT),
    "StopReplication": Case(ready, in_state("STOPPED"), CONFLICT),
    "PauseReplication": Case(ready, with_id("sourceServerID", paused), CONFLICT),
    "ResumeReplication": Case(with_id("sourceServerID", paused), ready, CONFLICT),
    "RetryDataReplication": Case(with_id("sourceServerID", stalled), ready, INVALID),
    "UpdateSourceServerReplicationType": Case(
        in_state("DISCOVERED", replicationType="AGENT_BASED"),
        in_state("STOPPED", replicationType="SNAPSHOT_SHIPPING"),
        INVALID,
    ),
    "GetLaunchConfiguration": Case(ready, in_state("DISCONNECTED"), NOT_FOUND),
    "UpdateLaunchConfiguration": Case(
        lambda site: ready(site) | {"bootMode": "UEFI", "postLaunchActions": {"deployment": "TEST_ONLY"}},
        just(**SERVER),
        NOT_FOUND,
    ),
    "GetLaunchConfigurationDefaults": Case(ready, just(**SERVER), NOT_FOUND),
    "UpdateLaunchConfigurationDefaults": Case(
        lambda site: ready(site) | {"smallVolumeMaxSize": 100, "smallVolumeConfiguration": VOLUME},
        lambda site: ready(site) | {"smallVolumeConfiguration": SLOW},
        INVALID,
    ),
    "GetReplicationConfiguration": Case(ready, just(**SERVER), NOT_FOUND),
    "UpdateReplicationConfiguration": Case(
        lambda site: ready(site) | {"bandwidthThrottling": 50}, in_state("DISCONNECTED", createPublicIP=True), CONFLICT
    ),
    "CreateReplicationConfigurationTemplate": Case(
        just(**REPLICATION_TEMPLATE), just(**{**REPLICATION_TEMPLATE, "ebsEncryption": "CUSTOM"}), INVALID
    ),
    "DescribeReplicationConfigurationTemplates": Case(
        lambda site: {"replicationConfigurationTemplateIDs": [replication_template(site)]},
        just(replicationConfigurationTemplateIDs=[RCT]),
        NOT_FOUND,
    ),
    "UpdateReplicationConfigurationTemplate": Case(
        with_id("replicationConfigurationTemplateID", replication_template, bandwidthThrottling=7),
        just(replicationConfigurationTemplateID=RCT),
        NOT_FOUND,
    ),
    "DeleteReplicationConfigurationTemplate": Case(
        with_id("replicationConfigurationTemplateID", replication_template),
        just(replicationConfigurationTemplateID=RCT),
        NOT_FOUND,
    ),
    "CreateLaunchConfigurationTemplate": Case(
        just(launchDisposition="STOPPED", licensing={"osByol": True}),
        just(smallVolumeConf=SLOW),
        INVALID,
    ),
    "DescribeLaunchConfigurationTemplates": Case(
        lambda site: {"launchConfigurationTemplateIDs": [launch_template(site)]},
        just(launchConfigurationTemplateIDs=[LCT]),
        NOT_FOUND,
    ),
    "UpdateLaunchConfigurationTemplate": Case(
        with_id("launchConfigurationTemplateID", launch_template, copyPrivateIp=True),
        just(launchConfigurationTemplateID=LCT),
        NOT_FOUND,
    ),
    "DeleteLaunchConfigurationTemplate": Case(
        with_id("launchConfigurationTemplateID", launch_template), just(launchConfigurationTemplateID=LCT), NOT_FOUND
    ),
    "PutSourceServerAction": Case(lambda site: ready(site) | ACTION, in_state("DISCONNECTED", **ACTION), CONFLICT),
    "ListSourceServerActions": Case(lambda site: _owner(with_action(site, ready(site))), just(**SERVER), NOT_FOUND),
    "RemoveSourceServerAction": Case(
        lambda site: with_action(site, ready(site)), lambda site: ready(site) | {"actionID": "none"}, NOT_FOUND
    ),
    "PutTemplateAction": Case(
        with_id("launchConfigurationTemplateID", launch_template, **ACTION),
        just(launchConfigurationTemplateID=LCT, **ACTION),
        NOT_FOUND,
    ),
    "ListTemplateActions": Case(
        lambda site: _owner(with_action(site, {"launchConfigurationTemplateID": launch_template(site)})),
        just(launchConfigurationTemplateID=LCT),
        NOT_FOUND,
    ),
    "RemoveTemplateAction": Case(
        lambda site: with_action(site, {"launchConfigurationTemplateID": launch_template(site)}),
        with_id("launchConfigurationTemplateID", launch_template, actionID="none"),
        NOT_FOUND,
    ),
    "DescribeJobs": Case(lambda site: {"filters": {"jobIDs": [ended_job(site)]}}, uninitialised, UNINITIALIZED),
    "DescribeJobLogItems": Case(of_job, just(jobID=f"mgnjob-{NONE}"), INVALID),
    "DeleteJob": Case(of_job, active_job, CONFLICT),
    "CreateApplication": Case(
        just(name="billing", description="invoices", tags={"a": "b"}),
        after(application, name="BILLING"),
        CONFLICT,
    ),
    "UpdateApplication": Case(with_id("applicationID", application, name="shop"), just(**APPLICATION), NOT_FOUND),
    "ArchiveApplication": Case(
        with_id("applicationID", application),
        lambda site: {"applicationID": in_application(site)["applicationID"]},
        CONFLICT,
    ),
    "UnarchiveApplication": Case(lambda site: archived_group(site, "application"), just(**APPLICATION), NOT_FOUND),
    "DeleteApplication": Case(
        with_id("applicationID", application),
        lambda site: {"applicationID": in_application(site)["applicationID"]},
        CONFLICT,
    ),
    "ListApplications": Case(
        lambda site: {"filters": {"applicationIDs": [application(site)]}}, uninitialised, UNINITIALIZED
    ),
    "AssociateSourceServers": Case(
        lambda site: {"applicationID": application(site), "sourceServerIDs": [site.register()]},
        lambda site: {"applicationID": application(site), "sourceServerIDs": [SERVER["sourceServerID"]]},
        NOT_FOUND,
    ),
    "DisassociateSourceServers": Case(in_application, lambda site: {**in_application(site), **APPLICATION}, NOT_FOUND),
    "CreateWave": Case(just(name="wave-07"), after(wave, name="Wave-07"), CONFLICT),
    "UpdateWave": Case(with_id("waveID", wave, description="first"), just(**WAVE), NOT_FOUND),
    "ArchiveWave": Case(with_id("waveID", wave), lambda site: {"waveID": in_wave(site)["waveID"]}, CONFLICT),
    "UnarchiveWave": Case(lambda site: archived_group(site, "wave"), just(**WAVE), NOT_FOUND),
    "DeleteWave": Case(with_id("waveID", wave), lambda site: {"waveID": in_wave(site)["waveID"]}, CONFLICT),
    "ListWaves": Case(lambda site: {"filters": {"waveIDs": [wave(site)]}}, uninitialised, UNINITIALIZED),
    "AssociateApplications": Case(
        lambda site: {"waveID": wave(site), "applicationIDs": [application(site)]},
        lambda site: {"waveID": wave(site), "applicationIDs": [APPLICATION["applicationID"]]},
        NOT_FOUND,
    ),
    "DisassociateApplications": Case(in_wave, lambda site: {**in_wave(site), **WAVE}, NOT_FOUND),
    "TagResource": Case(
        with_id("resourceArn", arn_of, tags={"a": "b"}), just(resourceArn=UNKNOWN_ARN, tags={"a": "b"}), NOT_FOUND
    ),
    "UntagResource": Case(
        with_id("resourceArn", arn_of, tagKeys=["a"]), just(resourceArn=UNKNOWN_ARN, tagKeys=["a"]), NOT_FOUND
    ),
    "ListTagsForResource": Case(with_id("resourceArn", arn_of), just(resourceArn=UNKNOWN_ARN), NOT_FOUND),
    "DescribeVcenterClients": Case(after(Site.discovered), uninitialised, UNINITIALIZED),
    "DeleteVcenterClient": Case(
        lambda site: {"vcenterClientID": site.backend.install_vcenter_client("vc.example.internal", "u", "dc")},
        just(vcenterClientID=f"vcc-{NONE}"),
        NOT_FOUND,
    ),
    "ListConnectors": Case(
        lambda site: {"filters": {"connectorIDs": [site.backend.install_connector("c-1", "mi-" + NONE)]}},
        uninitialised,
        UNINITIALIZED,
    ),
    "ListManagedAccounts": Case(just(), uninitialised, UNINITIALIZED),
}
