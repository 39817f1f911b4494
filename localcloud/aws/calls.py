"""What an HTTP request to AWS asks for: service, operation, and the things that it names."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.session

from adapters.dynamodb_table import KEY
from localcloud.aws.events import names_of
from localcloud.aws.looks import is_look

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_REST = {"mgn", "route53"}
LOOK = "LookupAgentPrerequisites"
"""What a SendCommand is called here whose script only looks: ledger and sweeps are about what changes something."""

_READS = re.compile(r"(Describe|List|Get|BatchGet|TransactGet|Search|Query|Scan|Test|Receive|Lookup)")
_MGN_ID = re.compile(r"(s|mgnjob|app|wave|lct|rct|vcc|connector)-[0-9a-zA-Z]{17}")
_EC2_NAMES = re.compile(
    r"(?:InstanceSpecification\.)?(?:InstanceId|LaunchTemplateId|LaunchTemplateName|ResourceId|SnapshotId|VolumeId"
    r"|GroupId|SubnetId|VpcId|ImageId)(?:\.\d+)?"
)
_EC2_MADE = re.compile(r"<(?:instanceId|snapshotId|launchTemplateId)>([^<]+)<")

Aliases = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class Call:
    """One request, understood.

    Attributes:
        protocol: How its errors are written: `json`, `rest-json`, `rest-xml`, `ec2` or `query`.
        caller: The access key id that signed it.
        targets: Ids and names that it touches, and the other names of those things.
    """

    service: str
    operation: str
    protocol: str
    caller: str
    targets: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mutating(self) -> bool:
        """Whether it may change something, by its name."""
        return not _READS.match(self.operation)


def read_call(environ: Mapping[str, Any], body: bytes, aliases: Aliases) -> Call | None:
    """Name the request's service, operation and targets; None when it is not a signed request of a known shape."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not scope:
        return None
    caller, service = scope.groups()
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        call = Call(service, target.rpartition(".")[2], "json", caller)
    elif service in _REST:
        operation = _rest_operation(service, environ["REQUEST_METHOD"], environ["PATH_INFO"])
        call = Call(service, operation, "rest-json" if service == "mgn" else "rest-xml", caller)
    else:
        operation = dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")
        call = Call(service, operation, "ec2" if service == "ec2" else "query", caller)
    if not call.operation:
        return None
    if call.operation == "SendCommand" and is_look(_script(body)):
        call = replace(call, operation=LOOK)
    named, detail = _READERS.get(service, _nothing)(body, unquote(environ["PATH_INFO"]))
    return replace(call, targets=_with_aliases(named, aliases), detail=detail)


def with_results(call: Call, reply: bytes, aliases: Aliases) -> Call:
    """The call with the ids of what it made, read from an accepted reply."""
    made: Iterable[str] = ()
    if call.service == "mgn":
        made = _mgn_ids(_json(reply))
    elif call.service == "ec2":
        made = _EC2_MADE.findall(reply.decode("utf-8", "replace"))
    elif call.service == "events":
        return _without_failed_entries(call, reply)
    return replace(call, targets=_with_aliases([*call.targets, *made], aliases))


def _with_aliases(named: Iterable[str], aliases: Aliases) -> tuple[str, ...]:
    unique = dict.fromkeys(named)
    return tuple(dict.fromkeys([*unique, *(alias for name in unique for alias in aliases(name))]))


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and operation of a REST service; paths with fewer placeholders first."""
    model = botocore.session.get_session().get_service_model(service)
    https = [(model.operation_model(name).http, name) for name in model.operation_names]
    paths = [(http["method"], http["requestUri"].partition("?")[0].rstrip("/"), name) for http, name in https]
    return [
        (method, re.compile(re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(path))), name)
        for method, path, name in sorted(paths, key=lambda route: (route[1].count("{"), -len(route[1])))
    ]


def _rest_operation(service: str, method: str, path: str) -> str:
    place = path.rstrip("/")
    return next((name for verb, route, name in _routes(service) if verb == method and route.fullmatch(place)), "")


# --- what each service's requests name ---------------------------------------------------------------------------

_Named = tuple[list[str], Mapping[str, Any]]


def _nothing(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    return [], {}


def _read_mgn(body: bytes, path: str) -> _Named:
    request = _json(body)
    in_path = [path.rpartition("/")[2]] if path.startswith("/tags/") else []
    named = [request["name"]] if isinstance(request, dict) and isinstance(request.get("name"), str) else []
    return [*in_path, *named, *_mgn_ids(request)], request if isinstance(request, dict) else {}


def _read_ec2(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    given = {
        key: value for key, value in parse_qsl(body.decode("utf-8", "replace")) if key not in ("Action", "Version")
    }
    return [value for key, value in given.items() if _EC2_NAMES.fullmatch(key)], given


def _read_route53(body: bytes, path: str) -> _Named:
    zones = re.findall(r"/hostedzone/([^/]+)", path)
    try:
        root = ET.fromstring(body) if body else None  # noqa: S314  from the product, on this machine
    except ET.ParseError:
        root = None
    if root is None:
        return zones, {}
    changes = [_change(element) for element in root.iter() if _tag(element) == "Change"]
    names = [change["name"] for change in changes]
    return [*names, *zones], {"changes": changes, "comment": _text(root, "Comment")} if changes else {}


def _change(element: ET.Element) -> dict[str, Any]:
    ttl = _text(element, "TTL")
    return {
        "action": _text(element, "Action"),
        "name": (_text(element, "Name") or "").rstrip("."),
        "type": _text(element, "Type"),
        "ttl": int(ttl) if ttl and ttl.isdecimal() else None,
        "values": sorted(child.text or "" for child in element.iter() if _tag(child) == "Value"),
        "setIdentifier": _text(element, "SetIdentifier"),
    }


def _read_dynamodb(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    found = list(_walk(_json(body)))
    tables = [value for key, value in found if key == "TableName" and isinstance(value, str)]
    keys = [value for key, value in found if key == "Key" and isinstance(value, dict)]
    keys += [{KEY: value[KEY]} for key, value in found if key == "Item" and isinstance(value, dict) and KEY in value]
    values = [str(value) for key in keys for typed in key.values() for value in typed.values()]
    return [*tables, *values, *(value.partition("#")[2] for value in values if "#" in value)], {}


def _read_sqs(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    request = dict(_walk(_json(body)))
    return [str(request[key]).rpartition("/")[2] for key in ("QueueUrl", "QueueName") if key in request], {}


def _script(body: bytes) -> list[str]:
    request = _json(body)
    parameters = request.get("Parameters") if isinstance(request, dict) else None
    lines = parameters.get("commands") if isinstance(parameters, dict) else None
    return lines if isinstance(lines, list) else []


def _read_ssm(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    request = _json(body)
    if not isinstance(request, dict):
        return [], {}
    ids = [*(request.get("InstanceIds") or []), *([request["InstanceId"]] if "InstanceId" in request else [])]
    chosen = [target["Values"] for target in request.get("Targets") or [] if target.get("Key") == "InstanceIds"]
    return [*ids, *(value for values in chosen for value in values)], {
        key: request[key] for key in ("DocumentName", "Comment", "Name") if key in request
    }


def _read_events(body: bytes, path: str) -> _Named:  # noqa: ARG001  a reader's parameters
    request = _json(body)
    entries = [entry for entry in (request or {}).get("Entries") or () if isinstance(entry, dict)]
    told = [{"type": entry.get("DetailType"), "names": names_of(entry)} for entry in entries]
    return [name for entry in entries for name in names_of(entry)], {"entries": told} if entries else {}


def _without_failed_entries(call: Call, reply: bytes) -> Call:
    """An accepted PutEvents may hold entries that were not."""
    results = (_json(reply) or {}).get("Entries", ())
    both = zip(call.detail.get("entries", ()), results, strict=False)
    taken = [entry for entry, result in both if "ErrorCode" not in result]
    return replace(call, targets=tuple(name for entry in taken for name in entry["names"]), detail={"entries": taken})


_READERS: Mapping[str, Callable[[bytes, str], _Named]] = {
    "mgn": _read_mgn,
    "ec2": _read_ec2,
    "route53": _read_route53,
    "dynamodb": _read_dynamodb,
    "sqs": _read_sqs,
    "ssm": _read_ssm,
    "events": _read_events,
}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _mgn_ids(document: Any) -> list[str]:
    """The ids in a request or reply; tags may hold ids too, but touch nothing."""
    return [value for _, value in _walk(document, skip="tags") if isinstance(value, str) and _MGN_ID.fullmatch(value)]


def _walk(document: Any, *, skip: str = "", key: str = "") -> Iterator[tuple[str, Any]]:
    """Every member and list item of a JSON document, with the name it stands under."""
    yield key, document
    if isinstance(document, dict):
        for name, value in document.items():
            if name != skip:
                yield from _walk(value, skip=skip, key=name)
    elif isinstance(document, list):
        for value in document:
            yield from _walk(value, skip=skip, key=key)


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str | None:
    return next((child.text for child in element.iter() if _tag(child) == name), None)
