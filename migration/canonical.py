"""Canonical JSON: one text for one meaning, so that it can be hashed and compared."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """Write JSON with its keys sorted by code point, no blanks, and every character as itself.

    Args:
        value: Plain JSON data, or a pydantic model, which is written by its JSON names.

    Raises:
        ValueError: A number is not finite, so JSON cannot hold it.
        TypeError: The data is not plain JSON.
    """
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_hex(value: Any) -> str:
    """Hash canonical JSON: 64 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
