"""What a request means: defaults, steps, launch settings, identity, what is not offered."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from temporalio.contrib.pydantic import pydantic_data_converter

from migration.canonical import canonical_json, sha256_hex
from migration.correlation import correlation_id, new_correlation_id
from migration.offer import unoffered
from migration.parsing import parse_request
from migration.request import Environment, LaunchSettings, MigrationRequest, MigrationType, Network, request_hash
from migration.steps import STEPS, Step
from tests.corpus_cases import good

APPROVAL = {"approvers": ["approver-1@example.com"]}
TEST_NETWORK = {"subnetId": "subnet-0d3c2b1a", "securityGroupIds": ["sg-0d3c2b1a"]}


def request_with(base: str = "minimal", **changes: Any) -> MigrationRequest:
    """Read a good request with some fields replaced."""
    return parse_request(json.dumps(good(base) | changes))


def with_target(**changes: Any) -> dict[str, Any]:
    """Return the small request's target with some fields replaced."""
    return dict(good("minimal")["target"]) | changes


def with_server(**changes: Any) -> dict[str, Any]:
    """Return the small request's source with some fields of its server replaced."""
    source = good("minimal")["source"]
    return {**source, "servers": [source["servers"][0] | changes]}


# --- defaults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "soak", "keep_target", "grace"),
    [
        (Environment.PROD, timedelta(days=2), timedelta(days=14), timedelta(days=30)),
        (Environment.STAGING, timedelta(days=1), timedelta(days=7), timedelta(days=14)),
        (Environment.TEST, timedelta(hours=4), timedelta(days=3), timedelta(days=7)),
        (Environment.DEV, timedelta(hours=1), timedelta(days=3), timedelta(days=7)),
    ],
)
def test_patience_depends_on_the_environment(
    environment: Environment, soak: timedelta, keep_target: timedelta, grace: timedelta
) -> None:
    request = request_with(environment=environment, target=with_target(test=TEST_NETWORK))
    assert (request.soak.for_, request.rollback.keep_target, request.grace) == (soak, keep_target, grace)


def test_what_the_request_says_stands_in_any_environment() -> None:
    request = request_with(soak={"for": "P2D", "failures": 9}, rollback={"keepTarget": "P14D"}, grace="P30D")
    assert (request.soak.for_, request.soak.failures) == (timedelta(days=2), 9)
    assert (request.rollback.keep_target, request.grace) == (timedelta(days=14), timedelta(days=30))


def test_a_part_that_is_given_without_its_patience_gets_that_of_the_environment() -> None:
    request = request_with(soak={"failures": 9}, rollback={"to": "start"})
    assert (request.soak.for_, request.soak.failures) == (timedelta(hours=1), 9)
    assert (request.rollback.keep_target, request.rollback.to) == (timedelta(days=3), "start")


def test_the_defaults_of_prod_are_those_of_the_documented_example() -> None:
    documented = good("full")
    shown = {name: documented.pop(name) for name in ("soak", "rollback", "grace", "quiesce")}
    request = json.loads(parse_request(json.dumps(documented)).model_dump_json())
    assert {name: request[name] for name in shown} == shown


def test_a_forgotten_migration_type_never_cuts_over() -> None:
    assert request_with().migration_type is MigrationType.TEST
    assert request_with().planned_steps[-1] is Step.TEST


def test_steps_that_spell_out_the_cutover_mean_one() -> None:
    assert request_with(steps=STEPS, approval=APPROVAL).migration_type is MigrationType.CUTOVER
    assert request_with(steps=STEPS[:4]).migration_type is MigrationType.TEST


# --- steps -----------------------------------------------------------------------------------------------------


def test_a_cutover_goes_through_all_its_steps() -> None:
    assert request_with(base="full").planned_steps == tuple(Step)


def test_a_test_migration_ends_after_the_test() -> None:
    request = request_with(base="full", migrationType="test")
    assert request.planned_steps == (Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST)


@pytest.mark.parametrize("last", [Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST, Step.FINALIZE])
def test_a_migration_ends_where_its_steps_end(last: Step) -> None:
    request = request_with(base="full", steps=STEPS[: STEPS.index(last) + 1])
    assert request.planned_steps[-1] is last


# --- launch settings -------------------------------------------------------------------------------------------


def launched(
    network: Network = Network.PRODUCTION, target: dict[str, Any] | None = None, **launch: Any
) -> LaunchSettings:
    """Return how the server of the small request is launched."""
    request = request_with(source=with_server(launch=launch), target=target or with_target(test=TEST_NETWORK))
    return request.launch_settings("billing-web-01", network)


def test_a_server_is_launched_by_the_target_defaults() -> None:
    settings = launched(target=with_target(instanceType="m5.large", instanceProfile="billing"))
    assert settings.subnet_id == "subnet-0a1b2c3d"
    assert settings.security_group_ids == ("sg-0a1b2c3d",)
    assert (settings.instance_type, settings.instance_profile) == ("m5.large", "billing")
    assert (settings.private_ip, settings.http_tokens, settings.volume_type) == (None, "required", "gp3")


def test_a_server_overrides_the_target() -> None:
    settings = launched(
        target=with_target(instanceType="m5.large", instanceProfile="billing"),
        subnetId="subnet-11111111",
        securityGroupIds=["sg-11111111"],
        instanceType="c5.large",
        instanceProfile="other",
        httpTokens="optional",
    )
    assert (settings.subnet_id, settings.security_group_ids) == ("subnet-11111111", ("sg-11111111",))
    assert (settings.instance_type, settings.instance_profile) == ("c5.large", "other")
    assert settings.http_tokens == "optional"


@pytest.mark.parametrize(("said", "address"), [("auto", None), ("copy", "10.1.0.11"), ("10.9.0.1", "10.9.0.1")])
def test_the_production_address_is_chosen_copied_or_given(said: str, address: str | None) -> None:
    assert launched(privateIp=said).private_ip == address


def test_a_test_launch_goes_into_the_test_network_with_an_address_of_its_own() -> None:
    settings = launched(Network.TEST, subnetId="subnet-11111111", securityGroupIds=["sg-11111111"], privateIp="copy")
    assert (settings.subnet_id, settings.security_group_ids) == ("subnet-0d3c2b1a", ("sg-0d3c2b1a",))
    assert settings.private_ip is None


def test_without_a_test_network_a_test_launch_goes_where_production_goes() -> None:
    assert launched(Network.TEST, target=with_target(), subnetId="subnet-11111111").subnet_id == "subnet-11111111"


def test_replication_is_staged_in_the_target_subnet_unless_said_otherwise() -> None:
    assert request_with().staging_subnet_id == "subnet-0a1b2c3d"
    assert request_with(base="full").staging_subnet_id == "subnet-0e5f6a7b"


def test_a_server_is_found_by_its_name() -> None:
    request = request_with(base="multi-server")
    assert request.server("shop-db-02").tier == 1
    with pytest.raises(KeyError):
        request.server("shop-db-03")


# --- identity --------------------------------------------------------------------------------------------------


def test_two_spellings_of_one_request_have_one_hash() -> None:
    document = good("full")
    other = json.loads(json.dumps(document))
    other["correlationId"] = other["migrationId"]
    other["replication"]["maxLag"] = "PT300S"
    other["grace"] = "P30DT0H"
    other["cutoverWindow"]["notBefore"] = "2026-11-28T21:00:00+01:00"
    other["approval"]["approvers"].reverse()
    other["healthChecks"][0]["during"] = ["soak", "test", "verify", "soak"]
    other["dns"][0]["name"] = "BILLING.example.internal"
    del other["soak"], other["quiesce"], other["change"], other["warnings"], other["source"]["servers"][0]["tier"]
    assert request_hash(parse_request(json.dumps(other, indent=3))) == request_hash(parse_request(json.dumps(document)))


@pytest.mark.parametrize(
    "change",
    [
        {"requestedBy": "somebody.else@example.com"},
        {"grace": "P29D"},
        {"waveId": None},
        {"soak": {"end": "commit"}},
        {"correlationId": "other"},
    ],
)
def test_another_meaning_has_another_hash(change: dict[str, Any]) -> None:
    assert request_hash(request_with(base="full", **change)) != request_hash(request_with(base="full"))


def test_the_staging_subnet_that_null_stands_for_is_part_of_the_meaning() -> None:
    spelt = request_with(replication={"stagingSubnetId": "subnet-0a1b2c3d"})
    assert request_hash(spelt) == request_hash(request_with())


def test_a_hash_is_64_hexadecimal_digits_over_canonical_json() -> None:
    assert canonical_json({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'
    assert sha256_hex({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert len(request_hash(request_with())) == 64


def test_canonical_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


def test_the_correlation_id_is_the_requests_else_the_migration_id() -> None:
    assert correlation_id(request_with(correlationId="ticket-7")) == "ticket-7"
    assert correlation_id(request_with()) == "mig-billing-1"
    assert new_correlation_id().startswith("corr-")
    assert new_correlation_id() != new_correlation_id()


# --- the model by itself ---------------------------------------------------------------------------------------


def test_the_rules_hold_for_the_model_itself_whoever_reads_it() -> None:
    document = good("minimal") | {"migrationType": "cutover"}
    with pytest.raises(ValidationError, match="expected an approval"):
        TypeAdapter(list[MigrationRequest]).validate_json(json.dumps([document]))


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        request_with().app_name = "other"  # type: ignore[misc]  # that it is refused is the point


# --- what is not offered ---------------------------------------------------------------------------------------


def test_the_documented_example_is_offered_whole() -> None:
    assert unoffered(request_with(base="full")) == []


def test_the_small_request_is_offered_whole() -> None:
    assert unoffered(request_with()) == []


def test_every_field_that_is_not_offered_is_named() -> None:
    assert [path for path, _ in unoffered(request_with(base="not-offered-yet"))] == [
        "$.cmdb.system",
        "$.source.servers[0].agentInstall",
        "$.source.servers[0].credential",
    ]


def test_every_check_is_offered() -> None:
    assert unoffered(request_with(base="every-check")) == []


def test_records_that_are_not_offered_are_named() -> None:
    assert [path for path, _ in unoffered(request_with(base="every-record"))] == [
        "$.dns[2].reverse",
        "$.dns[3].to.alias",
        "$.dns[4].provider",
    ]


@pytest.mark.parametrize("kind", ["physical", "hyperv", "azure", "gcp", "aws"])
def test_a_source_other_than_vmware_is_not_offered(kind: str) -> None:
    assert unoffered(request_with(base=f"source-{kind}")) == [("$.source.type", f"sources of type {kind}")]


@pytest.mark.parametrize(
    "change",
    [
        {"onFailure": {"action": "pause"}},
        {"rollback": {"to": "start"}},
        {"dns": []},
        {"sourceAfter": "delete"},
        {"approval": {"approvers": ["approver-1@example.com"], "signed": True}},
    ],
)
def test_what_is_offered_is_not_named(change: dict[str, Any]) -> None:
    assert unoffered(request_with(**change)) == []


def test_a_request_survives_the_way_through_temporal() -> None:
    request = request_with(base="every-record")
    converter = pydantic_data_converter.payload_converter
    (back,) = converter.from_payloads(converter.to_payloads([request]), [MigrationRequest])
    assert back == request
