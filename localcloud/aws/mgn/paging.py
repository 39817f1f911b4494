"""Pages with opaque tokens, which stay right when something is added or deleted between two pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .exceptions import ValidationException

Item = TypeVar("Item")

_MOST = 1000


def page(
    operation: str,
    items: Iterable[Item],
    position: Callable[[Item], int],
    asked: Mapping[str, Any],
    *,
    newest_first: bool = False,
    most: int = _MOST,
) -> tuple[list[Item], dict[str, str]]:
    """One page of the items.

    Args:
        operation: The operation whose token it is; another's token is refused.
        items: All of them.
        position: An item's place in the order of creation, which never changes.
        asked: The request, with `maxResults` and `nextToken`.
        newest_first: Whether to begin with the highest position.
        most: How many items the service model lets a reply have.

    Returns:
        The items of the page, and `nextToken` when there are more.

    Raises:
        ValidationException: The token is not one that this operation gave.
    """
    sign = -1 if newest_first else 1
    ordered = sorted(items, key=lambda item: sign * position(item))
    if asked.get("nextToken"):
        after = sign * _read(operation, asked["nextToken"])
        ordered = [item for item in ordered if sign * position(item) > after]
    size = min(asked.get("maxResults", most), most)
    if len(ordered) <= size:
        return ordered, {}
    token = urlsafe_b64encode(f"{operation}:{position(ordered[size - 1])}".encode()).decode()
    return ordered[:size], {"nextToken": token}


def _read(operation: str, token: str) -> int:
    try:
        name, _, position = urlsafe_b64decode(token.encode()).decode().partition(":")
        if name == operation:
            return int(position)
    except (ValueError, Base64Error):
        pass
    raise ValidationException("Invalid pagination token", fields=[("nextToken", "is not a token of this operation")])
