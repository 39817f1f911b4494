"""A migration's way in a trace: each step from its beginning to its end, however many runs that took."""

from contextlib import AbstractContextManager, nullcontext

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    import structlog

    from migration.status import StepProgress
    from migration.tracing import STRETCH, Stretch


def shown_as_step(line: StepProgress) -> AbstractContextManager[None]:
    """Show what is done meanwhile as part of this entry of the step; log lines say so too."""
    facts: dict[str, str | int] = {"step": str(line.step), "entry": line.entry}
    structlog.contextvars.bind_contextvars(**facts)
    return _shown(Stretch(name=f"step {line.step}", began=line.started or workflow.now(), facts=facts))


def shown_as_rollback(reason: str) -> AbstractContextManager[None]:
    """Show what is done meanwhile as part of a rollback."""
    return _shown(Stretch(name="rollback", began=workflow.now(), facts={"reason": reason}))


def _shown(stretch: Stretch) -> AbstractContextManager[None]:
    tell = workflow.extern_functions().get(STRETCH)
    return tell(stretch) if tell else nullcontext()
