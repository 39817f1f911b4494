"""What health checks say of HTTP and TLS: header fields, texts that are looked for in a body, certificates."""

import functools
import math
import re
import ssl
from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema
from typing_extensions import TypeAliasType

from migration.formats.base import Expected, text

_FIELD_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_LONGEST_PATTERN = 256
_MOST_REPEATS = 100
_COUNTED = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_LONGEST_PEM = 16 * 1024


def found_in(pattern: str, body: str) -> bool:
    """Whether a regular expression matches anywhere in the text, in time linear in the text's length.

    Raises:
        ValueError: It is no regular expression of the kind that `BodyPattern` takes.
    """
    try:
        _compiled(pattern).validate_python(body)
    except ValidationError:
        return False
    return True


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    """Rust's engine, which pydantic has: it never backtracks, and refuses a pattern whose program would be large."""
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        raise ValueError(pattern) from error


def _body_pattern(pattern: str) -> str:
    counts = [int(upper or lower or 1) for lower, upper in _COUNTED.findall(pattern)]
    if math.prod(counts) > _MOST_REPEATS:
        raise ValueError(pattern)
    _compiled(pattern)
    return pattern


def _request_field(name: str) -> str:
    if name.lower() in _CREDENTIALS | _FRAMING:
        raise ValueError(name)
    return name


def _certificates(pem: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, TypeError) as error:
        raise ValueError("no certificates") from error
    return pem


HeaderName = TypeAliasType(
    "HeaderName",
    Annotated[str, *text(_FIELD_NAME, "the name of a header field, of at most 64 characters (RFC 9110, section 5.1)")],
)
RequestHeaderName = TypeAliasType(
    "RequestHeaderName",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=_FIELD_NAME),
        AfterValidator(_request_field),
        Expected(
            "the name of a header field, of at most 64 characters; none that carries credentials, names the host or "
            "frames the message"
        ),
    ],
)
HeaderValue = TypeAliasType(
    "HeaderValue",
    Annotated[
        str,
        *text(r"^[!-~](?:[ -~]{0,510}[!-~])?$", "1 to 512 printable ASCII characters, without blanks at the ends"),
    ],
)
BodyPattern = TypeAliasType(
    "BodyPattern",
    Annotated[
        str,
        StringConstraints(strict=True, min_length=1, max_length=_LONGEST_PATTERN),
        AfterValidator(_body_pattern),
        Expected(
            f"a regular expression of 1 to {_LONGEST_PATTERN} characters in RE2's syntax (no look-around, no "
            f"back-references), whose counted repetitions multiply to {_MOST_REPEATS} at most"
        ),
    ],
)
Certificates = TypeAliasType(
    "Certificates",
    Annotated[
        str,
        StringConstraints(strict=True, max_length=_LONGEST_PEM),
        AfterValidator(_certificates),
        Expected("one or more certificates of authorities in PEM, of at most 16384 characters"),
    ],
)
