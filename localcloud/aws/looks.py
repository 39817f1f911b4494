"""What a machine answers to a look at what the MGN agent needs, as long as a test does not say otherwise."""

from collections.abc import Mapping, Sequence

_FIRST_LINE = "# Looks at what the AWS Replication Agent needs; changes nothing."

GOOD: Mapping[str, str] = {
    "root": "yes",
    "free_root": "20480",
    "free_tmp": "4096",
    "mgn": "open",
    "s3": "open",
    "staging": "silent",
    "dhcp": "yes",
}
"""A machine that the agent can be installed on; nobody has the address in the staging subnet yet."""


def is_look(lines: Sequence[str]) -> bool:
    """Whether a script says of itself that it only looks."""
    return bool(lines) and lines[0] == _FIRST_LINE


def answer(other: Mapping[str, str]) -> str:
    """What the look writes."""
    return "".join(f"{name}={value}\n" for name, value in {**GOOD, **other}.items())
