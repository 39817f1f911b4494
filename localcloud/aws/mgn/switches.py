"""The switches of the local MGN: one wherever the sources disagree on the real service, or say nothing.

The default is what the documentation says, read strictly; the others are what was seen elsewhere. A client that is
meant for the real service has to live with every position.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

_ASKS, _POSITIONS = "asks", "positions"

SOURCES: Mapping[str, str] = {
    "M": "the service model and the API reference made from it",
    "D": "AWS's user guide, workshops and blog",
    "S": "a recorded run of the real service, 2022",
    "C": "public code that drives the service",
    "I": "inferred: no source says it",
}


def _switch(asks: str, **positions: str) -> Any:
    return field(default=next(iter(positions)), metadata={_ASKS: asks, _POSITIONS: positions})


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What is open about the service; each position says which source stands behind it."""

    source_off: Literal["stalled", "disconnected", "lagNull"] = _switch(
        "What does a source look like that has been off for `stall_after`?",
        stalled="STALLED with its lag: it can still be launched [I]",
        disconnected="DISCONNECTED without a lag: nothing can be launched [I]",
        lagNull="STALLED with a lag of null: nothing can be launched [I]",
    )
    terminate_in_testing: Literal["refuse", "revert"] = _switch(
        "What does TerminateTargetInstances do to a server in TESTING?",
        refuse="it is refused in TESTING, CUTTING_OVER and CUTOVER [M]",
        revert="it is accepted in TESTING, which goes back to READY_FOR_TEST [C]",
    )
    failed_launch: Literal["stays", "reverts"] = _switch(
        "Where does a failed launch leave the lifecycle?",
        stays="where the call put it: TESTING or CUTTING_OVER [M, C]",
        reverts="READY_FOR_TEST or READY_FOR_CUTOVER, as if reverted [I]",
    )
    archive_again: Literal["accept", "refuse"] = _switch(
        "What does a second MarkAsArchived do?",
        accept="nothing: the state is one of those it works for [M]",
        refuse="it is a conflict [I]",
    )
    disconnect_again: Literal["refuse", "accept"] = _switch(
        "What does a second DisconnectFromService do?",
        refuse="it is a conflict [I]",
        accept="nothing; a server in CUTOVER stays there [I]",
    )
    retest: Literal["accept", "refuse"] = _switch(
        "What does StartTest do to a server in TESTING?",
        accept="it launches again; the earlier instance is terminated first [C, S]",
        refuse="it is a conflict until the test was reverted [I]",
    )
    test_finalized: Literal["stamped", "empty"] = _switch(
        "What does lastTest.finalized say after TESTING went to READY_FOR_CUTOVER?",
        stamped="the time of that call [M]",
        empty="nothing [S]",
    )
    replica_totals: Literal["zeroed", "kept"] = _switch(
        "What becomes of replicatedDisks.totalStorageBytes at FinalizeCutover and DisconnectFromService?",
        zeroed="it is 0 [M]",
        kept="it stays as it was [S]",
    )
    over_quota: Literal["asModelled", "always402"] = _switch(
        "What answers a call beyond a quota whose operation models no ServiceQuotaExceededException?",
        asModelled="ConflictException, 409 [M]; so for StartTest, StartCutover and TerminateTargetInstances",
        always402="ServiceQuotaExceededException, 402, all the same [I]",
    )
    wrong_state: Literal["conflict", "validation"] = _switch(
        "What answers a call in the wrong state when its operation models both errors?",
        conflict="ConflictException [I]",
        validation="ValidationException with the reason `other` [I]; a busy server stays a conflict [D, C]",
    )
    unknown_server: Literal["validation", "notFound"] = _switch(
        "What answers StartTest, StartCutover and TerminateTargetInstances for an id that is unknown?",
        validation="ValidationException: they model no ResourceNotFoundException [M]",
        notFound="ResourceNotFoundException all the same [I]",
    )
    terminated_instance: Literal["cleared", "kept"] = _switch(
        "What does launchedInstance show after TerminateTargetInstances?",
        cleared="nothing [I]",
        kept="the instance that is no more, firstBoot UNKNOWN [I]",
    )
    agent_again: Literal["newRecord", "revive"] = _switch(
        "What does an agent get that is installed again after DisconnectFromService?",
        newRecord="a new source server; the old record stays [C]",
        revive="the old record again, NOT_READY [C]",
    )
    agent_after_finalize: Literal["uninstalled", "stays"] = _switch(
        "What becomes of the agent at FinalizeCutover?",
        uninstalled="it is told to uninstall itself: it is not seen any more [M]",
        stays="it stays until DisconnectFromService, and goes on being seen [D]",
    )
    must_succeed: Literal["blocksCutover", "blocksFinalize", "ignored"] = _switch(
        "What does a post-launch action forbid that must succeed for cutover, and failed?",
        blocksCutover="StartCutover, when it failed in the last test [M]",
        blocksFinalize="FinalizeCutover, when it failed in the last cutover [I]",
        ignored="nothing: the caller has to look [I]",
    )
    post_launch: Literal["afterJob", "inJob"] = _switch(
        "When does a launch job with post-launch actions end?",
        afterJob="when the instances are launched: the job's log has no event of an action [M]",
        inJob="when the last action has ended [I]",
    )
    lag_format: Literal["short", "padded", "fractional"] = _switch(
        "How is lagDuration written? Each is ISO 8601.",
        short="`P0D`, `PT5M3S` [S]",
        padded="`P0DT00H00M00S`, `P0DT00H05M03S` [I]",
        fractional="`P0D`, `PT5M3.250000S`, as elapsedReplicationDuration was seen [S]",
    )
    timestamps: Literal["offset", "zulu"] = _switch(
        "How do times end?",
        offset="`+00:00`: what was seen wins over the model's pattern [S]",
        zulu="`Z`, as the pattern has it [M]",
    )
    arn_in_tags: Literal["absent", "present"] = _switch(
        "Do the tags of jobs and servers have a key `resourceArn` that nobody set?",
        absent="no [M]",
        present="yes [S]",
    )

    def __post_init__(self) -> None:
        """Refuse a position that a switch does not have."""
        for switch in fields(Switches):
            if getattr(self, switch.name) not in positions(switch):
                known = ", ".join(positions(switch))
                raise ValueError(f"{switch.name} must be one of {known}, not {getattr(self, switch.name)!r}")


def positions(switch: Field[Any]) -> Mapping[str, str]:
    """The positions of a switch, the default first, each with what it means."""
    found: Mapping[str, str] = switch.metadata[_POSITIONS]
    return found


def document() -> str:
    """All switches as Markdown: `docs/mgn-switches.md`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Switches of the local MGN"
    yield ""
    yield "Where the sources on AWS Application Migration Service disagree, or say nothing, the local MGN has a switch:"
    yield "a field of `MgnSettings`. The position in bold is the default. This page is made from the code:"
    yield "`make generated`. What each answer rests on: [mgn-fidelity.md](mgn-fidelity.md)."
    yield ""
    yield "| source | |"
    yield "|---|---|"
    yield from (f"| {tag} | {what} |" for tag, what in SOURCES.items())
    for switch in fields(Switches):
        yield from ("", f"## `{switch.name}`", "", switch.metadata[_ASKS], "")
        for position, meaning in positions(switch).items():
            name = f"**`{position}`**" if position == switch.default else f"`{position}`"
            yield f"- {name}: {meaning}"
