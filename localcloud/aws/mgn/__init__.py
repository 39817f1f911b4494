"""AWS Application Migration Service as a backend of moto's server.

Progress is computed when somebody looks: nothing runs in the background. State rules are those of the service's
documentation: https://docs.aws.amazon.com/mgn/latest/APIReference/Welcome.html
"""

import re
import sys

import moto
from moto import backend_index

from .exceptions import AccessDeniedException, InternalServerException, MgnError, ThrottlingException
from .hooks import AlwaysOnline, Faults, LaunchKind, NoFaults, SourceWorld, Trouble
from .models import MGNBackend, mgn_backends
from .settings import Durations, MgnSettings, Quotas, configure

__all__ = [
    "AccessDeniedException",
    "AlwaysOnline",
    "Durations",
    "Faults",
    "InternalServerException",
    "LaunchKind",
    "MGNBackend",
    "MgnError",
    "MgnSettings",
    "NoFaults",
    "Quotas",
    "SourceWorld",
    "ThrottlingException",
    "Trouble",
    "configure",
    "mgn_backends",
    "register",
]


def register() -> None:
    """Make moto find this backend as its service `mgn`; again is no change. Before the server's first request."""
    sys.modules.setdefault("moto.mgn", sys.modules[__name__])
    moto.mgn = sys.modules[__name__]
    if not any(name == "mgn" for name, _ in backend_index.backend_url_patterns):
        pattern = re.compile(r"https?://mgn\.(.+)\.amazonaws\.com")
        backend_index.backend_url_patterns.append(("mgn", pattern))
