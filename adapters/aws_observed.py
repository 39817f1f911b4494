"""AWS calls as botocore's own events tell of them: each once, with its repeats, whoever makes it."""

import time
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any

from adapters.aws import outcome
from migration.ports import CallMade, CallObserver

_BEGUN = "migrator_call"


def observed(observe: CallObserver) -> Callable[[Any], None]:
    """What to do to each client so that its calls are heard of."""

    def begun(*, model: Any, context: MutableMapping[str, Any], **_: Any) -> None:
        context[_BEGUN] = (model.service_model.service_name, model.name, time.monotonic())

    def answered(*, http_response: Any, parsed: Any, context: MutableMapping[str, Any], **_: Any) -> None:
        code = str(parsed.get("Error", {}).get("Code", ""))
        tell(context, outcome(code, http_response.status_code))

    def unanswered(*, context: MutableMapping[str, Any], **_: Any) -> None:
        tell(context, "unavailable")

    def tell(context: MutableMapping[str, Any], result: str) -> None:
        service, operation, began = context[_BEGUN]
        took = timedelta(seconds=time.monotonic() - began)
        observe(CallMade(system=service, operation=operation, result=result, took=took))

    def register(client: Any) -> None:
        client.meta.events.register("before-call", begun)
        client.meta.events.register("after-call", answered)
        client.meta.events.register("after-call-error", unanswered)

    return register
