"""Markdown as our generated pages write it."""

from collections.abc import Iterable, Iterator, Sequence

GENERATED = "Written from {source} by `make generated`."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, row by row; a bar within a cell is escaped."""
    yield _row(head)
    yield "|" + "---|" * len(head)
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def code(text: str) -> str:
    """The text as code."""
    return f"`{text}`"


def anchor(heading: str) -> str:
    """The fragment by which a heading is reached, in the site as in a forge: letters, digits, blanks as hyphens."""
    return "".join(one for one in heading.lower().replace(" ", "-") if one.isalnum() or one in "-_")
