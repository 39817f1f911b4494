"""The generated JSON Schema: up to date, valid, and saying what the documentation promises."""

from jsonschema import Draft202012Validator

from migration.schema import request_schema
from migration.steps import STEPS


def test_the_schema_is_a_valid_draft_2020_12_schema() -> None:
    Draft202012Validator.check_schema(request_schema())


def test_the_schema_names_its_dialect_and_itself() -> None:
    document = request_schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == "urn:migrator:migration-request:1.0"


def test_every_part_is_closed_and_described() -> None:
    document = request_schema()
    for name, part in {"the request": document, **document["$defs"]}.items():
        assert part.get("description"), name
        if part["type"] == "object":
            assert part["additionalProperties"] is False, name


def test_every_field_is_described_by_itself_or_by_its_type() -> None:
    document = request_schema()
    for part in (document, *document["$defs"].values()):
        for name, field in part.get("properties", {}).items():
            assert (
                "description" in field
                or "$ref" in field
                or "const" in field
                or part.get("title")
                in {
                    "ToServers",
                    "TcpCheck",
                }
            ), (part.get("title"), name)


def test_defaults_are_part_of_the_schema() -> None:
    fields = request_schema()["properties"]
    assert fields["soak"]["default"] == {"for": "P2D", "end": "wait", "failures": 3, "over": "PT10M"}
    assert fields["rollback"]["default"] == {"to": "ready", "afterSwitch": "ask", "keepTarget": "P14D"}
    assert fields["grace"]["default"] == "P30D"
    assert fields["steps"]["default"] == list(STEPS)


def test_required_fields_are_those_of_the_documentation() -> None:
    document = request_schema()
    required = {name: set(part.get("required", ())) for name, part in document["$defs"].items()}
    assert set(document["required"]) == {
        *("schemaVersion", "migrationId", "appName", "environment", "source", "target", "requestedBy")
    }
    assert required["Source"] == {"type", "connection", "servers"}
    assert required["Server"] == {"name", "os", "address"}
    assert required["Target"] == {"type", "accountId", "region", "subnetId", "securityGroupIds"}
    assert required["HttpCheck"] == {"type", "server", "url"}
    assert required["DnsRecord"] == {"provider", "zone", "name", "type", "to"}
    assert required["Approval"] == {"approvers"}


def test_patterns_leave_no_door_to_a_line_end() -> None:
    """Some validators let `$` match before a last line end: a second pattern refuses it."""
    for name, part in request_schema()["$defs"].items():
        if "pattern" in part:
            assert "\\n" in part["not"]["pattern"], name
