"""What the ledger and the fault plan read in a request to the local AWS."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from localcloud.aws.calls import Call, read_call, with_results

PREFIXES = ("s", "mgnjob", "app", "wave", "lct", "rct", "vcc", "connector")
NUMBER = "0123456789abcdef0"


def no_aliases(_: str) -> Iterable[str]:
    return ()


def read(operation: str, **body: Any) -> Call:
    scope = "AKIATEST/20270115/eu-central-1/mgn/aws4_request"
    environ = {
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/{operation}",
    }
    call = read_call(environ, json.dumps(body).encode(), no_aliases)
    assert call is not None
    return call


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_kind_of_id_of_mgn_is_a_target_wherever_it_stands(prefix: str) -> None:
    one = f"{prefix}-{NUMBER}"
    call = read("ListConnectors", filters={"ids": [one]}, tags={"note": f"{prefix}-{'f' * 17}"})
    assert (call.service, call.operation, call.caller) == ("mgn", "ListConnectors", "AKIATEST")
    assert call.targets == (one,)
    assert not call.mutating


def test_what_a_call_made_is_a_target_of_it_too() -> None:
    made = with_results(read("CreateWave", name="wave-07"), b'{"waveID": "wave-0123456789abcdef0"}', no_aliases)
    assert made.targets == ("wave-07", f"wave-{NUMBER}")
    assert made.mutating


def test_an_id_that_is_too_short_is_none() -> None:
    assert read("DeleteVcenterClient", vcenterClientID="vcc-1").targets == ()
