"""What a retry may change of a request: only what helps the step, and never into anything but a request."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.changes import Change, Changed, changed
from migration.decisions import Retry
from migration.formats import format_duration
from migration.parsing import RequestErrors, parse_model, parse_request
from migration.request import HttpCheck, MigrationRequest, Network
from migration.steps import Step

WEB, DATA = "billing-web-01", "billing-db-01"
SUBNET, OTHER_SUBNET = "subnet-0a1b2c3d", "subnet-0f0f0f0f"
TEST_NETWORK = {"subnetId": "subnet-00000001", "securityGroupIds": ["sg-00000001"]}
CHECK = {"type": "http", "server": WEB, "url": "http://{privateIp}:8080/health"}


def a_text(**parts: Any) -> str:
    """A request of two servers, one of which is checked."""
    servers = [{"name": name, "vm": name, "os": "linux", "address": "10.1.0.11"} for name in (WEB, DATA)]
    target = {
        "type": "aws-mgn",
        "accountId": "123456789012",
        "region": "eu-central-1",
        "subnetId": SUBNET,
        "securityGroupIds": ["sg-0a1b2c3d"],
        "instanceType": "m5.large",
    }
    document = {
        "schemaVersion": "1.0",
        "migrationId": "mig-billing-1",
        "appName": "billing",
        "environment": "dev",
        "requestedBy": "requester@example.com",
        "migrationType": "cutover",
        "source": {"type": "vmware", "connection": "vcenter-1", "servers": servers},
        "target": target | parts.pop("target", {}),
        "healthChecks": [CHECK],
        "approval": {"approvers": ["approver-1@example.com"]},
        **parts,
    }
    return json.dumps(document)


def change_of(**fields: Any) -> Change:
    """The change that this JSON means."""
    return parse_model(json.dumps(fields).encode(), Change)


def tried_again(step: Step, text: str | None = None, **fields: Any) -> MigrationRequest:
    """The request with one change in force."""
    return changed(text or a_text(), [Changed(step=step, change=change_of(**fields))])


def launch_of(request: MigrationRequest, server: str, network: Network = Network.PRODUCTION) -> tuple[str | None, str]:
    settings = request.launch_settings(server, network)
    return settings.instance_type, settings.subnet_id


def check_of(request: MigrationRequest) -> HttpCheck:
    (check,) = request.health_checks
    assert isinstance(check, HttpCheck)
    return check


# --- what is changed ---------------------------------------------------------------------------------------------


def test_a_launch_setting_of_one_server_leaves_the_others_alone() -> None:
    request = tried_again(Step.CUTOVER, server=DATA, instanceType="r5.xlarge", subnetId=OTHER_SUBNET)
    assert launch_of(request, DATA) == ("r5.xlarge", OTHER_SUBNET)
    assert launch_of(request, WEB) == ("m5.large", SUBNET)


def test_a_launch_setting_without_a_server_is_that_of_all_servers() -> None:
    request = tried_again(Step.CUTOVER, instanceType="r5.xlarge")
    assert {launch_of(request, server) for server in (WEB, DATA)} == {("r5.xlarge", SUBNET)}


def test_another_subnet_for_a_test_is_another_test_network_and_leaves_production_alone() -> None:
    text = a_text(target={"test": TEST_NETWORK})
    request = tried_again(Step.TEST, text, subnetId=OTHER_SUBNET)
    assert launch_of(request, WEB, Network.TEST) == ("m5.large", OTHER_SUBNET)
    assert launch_of(request, WEB) == ("m5.large", SUBNET)


def test_the_one_subnet_of_a_test_network_is_not_changed_for_a_single_server() -> None:
    text = a_text(target={"test": TEST_NETWORK})
    with pytest.raises(ValueError, match="one subnet for all servers"):
        tried_again(Step.TEST, text, server=WEB, subnetId=OTHER_SUBNET)


def test_another_subnet_for_a_cutover_leaves_the_test_network_alone() -> None:
    text = a_text(target={"test": TEST_NETWORK})
    request = tried_again(Step.CUTOVER, text, subnetId=OTHER_SUBNET)
    assert launch_of(request, WEB) == ("m5.large", OTHER_SUBNET)
    assert launch_of(request, WEB, Network.TEST) == ("m5.large", TEST_NETWORK["subnetId"])


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ({"url": "https://{privateIp}/ready"}, ("https://{privateIp}/ready", 200, timedelta(minutes=10))),
        ({"expectStatus": 204}, (CHECK["url"], 204, timedelta(minutes=10))),
        ({"within": "PT30M"}, (CHECK["url"], 200, timedelta(minutes=30))),
    ],
)
@pytest.mark.parametrize("step", [Step.TEST, Step.VERIFY, Step.SOAK])
def test_what_a_health_check_is_not_told_anew_stays_as_it_was(step: Step, new: Any, found: Any) -> None:
    check = check_of(tried_again(step, server=WEB, healthCheck=new))
    assert (check.url, check.expect_status, check.within) == found


def test_each_setting_of_a_health_check_goes_to_the_checks_of_its_kind() -> None:
    command = {"type": "ssm", "server": DATA, "command": "systemctl is-active billing"}
    text = a_text(healthChecks=[CHECK, {"type": "tcp", "server": WEB, "port": 5432}, command])
    request = tried_again(Step.VERIFY, text, healthCheck={"port": 5433, "command": "true", "expectBody": "ok"})
    http, tcp, ssm = (check.model_dump() for check in request.health_checks)
    assert (http["url"], http["expectBody"], tcp["port"], ssm["command"]) == (CHECK["url"], "ok", 5433, "true")


def test_another_patience_is_that_of_every_kind_of_check() -> None:
    text = a_text(healthChecks=[CHECK, {"type": "tcp", "server": WEB, "port": 5432}])
    request = tried_again(Step.SOAK, text, healthCheck={"within": "PT30M"})
    assert [check.within for check in request.health_checks] == [timedelta(minutes=30)] * 2


def test_a_setting_of_a_kind_of_check_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^the request has no tcp health check of {WEB}$"):
        tried_again(Step.VERIFY, server=WEB, healthCheck={"port": 5433})


def test_another_lag_is_the_lag_of_replication() -> None:
    replication = tried_again(Step.REPLICATE, maxLag="PT20M").replication
    assert (replication.max_lag, replication.stable_observations) == (timedelta(minutes=20), 3)


def test_a_later_change_wins_and_earlier_ones_stay_in_force() -> None:
    decided = [("m5.xlarge", None), ("m5.2xlarge", None), (None, OTHER_SUBNET)]
    changes = [
        Changed(step=Step.CUTOVER, change=Change(instance_type=instance_type, subnet_id=subnet))
        for instance_type, subnet in decided
    ]
    assert launch_of(changed(a_text(), changes), WEB) == ("m5.2xlarge", OTHER_SUBNET)


def test_without_a_change_the_request_is_what_it_was() -> None:
    assert changed(a_text(), []) == parse_request(a_text())


def test_parts_that_the_request_leaves_out_or_null_can_be_changed() -> None:
    request = tried_again(Step.REPLICATE, a_text(replication=None), maxLag="PT1M")
    assert request.replication.max_lag == timedelta(minutes=1)


# --- what is refused ---------------------------------------------------------------------------------------------

SENSIBLE = {
    Step.REPLICATE: {"maxLag"},
    Step.TEST: {"instanceType", "subnetId", "healthCheck"},
    Step.CUTOVER: {"instanceType", "subnetId"},
    Step.VERIFY: {"healthCheck"},
    Step.SOAK: {"healthCheck"},
}
A_CHANGE: dict[str, Any] = {
    "instanceType": "r5.xlarge",
    "subnetId": OTHER_SUBNET,
    "healthCheck": {"expectStatus": 204},
    "maxLag": "PT1M",
}


@pytest.mark.parametrize("setting", A_CHANGE)
@pytest.mark.parametrize("step", list(Step))
def test_a_setting_is_changed_where_it_helps_and_refused_in_words_elsewhere(step: Step, setting: str) -> None:
    sensible = SENSIBLE.get(step, set())
    if setting in sensible:
        assert tried_again(step, **{setting: A_CHANGE[setting]}) != parse_request(a_text())
        return
    with pytest.raises(ValueError, match=f"^{step} is not helped by another {setting}; settings to change") as refused:
        tried_again(step, **{setting: A_CHANGE[setting]})
    assert str(refused.value).endswith(f"here: {', '.join(sorted(sensible)) or 'none'}")


def test_a_server_that_the_request_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match=r"^the request has no server billing-app-09$"):
        tried_again(Step.CUTOVER, server="billing-app-09", instanceType="r5.xlarge")


def test_a_server_without_an_http_check_is_named() -> None:
    with pytest.raises(ValueError, match=f"^the request has no http health check of {DATA}$"):
        tried_again(Step.VERIFY, server=DATA, healthCheck={"expectStatus": 204})


def test_a_request_without_checks_has_none_to_change() -> None:
    with pytest.raises(ValueError, match=r"^the request has no http health check of any server$"):
        tried_again(Step.VERIFY, a_text(healthChecks=None), healthCheck={"expectStatus": 204})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"instanceType": "large"}, "$.instanceType"),
        ({"subnetId": "subnet-web"}, "$.subnetId"),
        ({"maxLag": "5 minutes"}, "$.maxLag"),
        ({"healthCheck": {"url": "ftp://{privateIp}/"}}, "$.healthCheck.url"),
        ({"healthCheck": {"expectStatus": 99}}, "$.healthCheck.expectStatus"),
        ({"instanceType": "m5.large", "colour": "blue"}, "$.colour"),
        ({"healthCheck": {"method": "HEAD"}}, "$.healthCheck.method"),
    ],
)
def test_a_value_that_no_request_could_have_is_refused_at_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(RequestErrors) as refused:
        change_of(**fields)
    assert [error.path for error in refused.value.errors] == [path]


@pytest.mark.parametrize("fields", [{}, {"server": WEB}])
def test_a_change_has_to_change_something(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestErrors, match="at least one of instanceType, subnetId, healthCheck, maxLag"):
        change_of(**fields)


# --- whatever is decided -----------------------------------------------------------------------------------------

DURATIONS = st.integers(0, 10**7).map(lambda seconds: timedelta(seconds=seconds))
CHECKS = st.fixed_dictionaries(
    {},
    optional={
        "url": st.sampled_from(["http://{privateIp}/", "https://[{privateIp}]:8443/x?y=1", "http://{privateIp}:81/x"]),
        "expectStatus": st.integers(100, 599),
        "within": DURATIONS.map(format_duration),
    },
).filter(bool)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "instanceType": st.sampled_from(["r5.xlarge", "m5.metal", "u-6tb1.112xlarge"]),
    "subnetId": st.sampled_from([SUBNET, OTHER_SUBNET, "subnet-0123456789abcdef0"]),
    "healthCheck": CHECKS,
    "maxLag": DURATIONS.map(format_duration),
}


@st.composite
def decided(draw: st.DrawFn) -> Changed:
    """What helps the step, for a server that may not be there."""
    step = draw(st.sampled_from(list(SENSIBLE)))
    names = draw(st.lists(st.sampled_from(sorted(SENSIBLE[step])), min_size=1, unique=True))
    server = draw(st.sampled_from([None, WEB, DATA, "billing-app-09"]))
    fields = {name: draw(VALUES[name]) for name in names} | ({"server": server} if server else {})
    return Changed(step=step, change=change_of(**fields))


@settings(deadline=None)
@given(st.lists(decided(), max_size=4), st.booleans())
def test_every_change_that_is_accepted_makes_a_request_again(changes: list[Changed], own_network: bool) -> None:
    text = a_text(target={"test": TEST_NETWORK} if own_network else {})
    unknown = any(one.change.server == "billing-app-09" for one in changes)
    unchecked = any(one.change.server == DATA and one.change.health_check for one in changes)
    of_one = any(o.step is Step.TEST and o.change.server and o.change.subnet_id for o in changes) and own_network
    if unknown or unchecked or of_one:
        with pytest.raises(
            ValueError, match=r"^the request has no (server|(http )?health check of) |one subnet for all"
        ):
            changed(text, changes)
        return
    request, before = changed(text, changes), parse_request(text)
    assert parse_request(request.model_dump_json(by_alias=True)) == request
    touched = {"source", "target", "health_checks", "replication"}
    assert request.model_dump(exclude=touched) == before.model_dump(exclude=touched)
    assert [server.name for server in request.source.servers] == [server.name for server in before.source.servers]


@settings(deadline=None)
@given(decided())
def test_a_change_survives_continue_as_new(one: Changed) -> None:
    assert Changed.model_validate_json(one.model_dump_json(by_alias=True)) == one


def test_a_health_check_that_changes_nothing_is_refused() -> None:
    with pytest.raises(
        RequestErrors, match="at least one of url, expectStatus, expectBody, expectBodyPattern, port, command, within"
    ):
        parse_model(b'{"by": "operator-1@example.com", "change": {"healthCheck": {}}}', Retry)
