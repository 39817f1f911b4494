"""The change ticket: whether it allows the cutover now, and what it is told of the migration."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from temporalio import activity

from activities.errors import translated
from activities.running import acting, in_a_row, look_again, now
from migration.errors import MigrationError, MigrationExecutionError
from migration.marks import Mark
from migration.models import Model
from migration.ports import Ticket, TicketSystems

_AT = "%Y-%m-%d %H:%M:%S %Z"
_UNREADABLE_LOOKS = 3
"""So many looks in a row that cannot read a ticket are news: one that is lost is no question to anybody."""


class TicketState(Model):
    """Whether a ticket allows the cutover now.

    Attributes:
        problem: Why it does not, in words; None: it does.
        readable: Nobody can say what an unreadable one allows.
        until: When time alone takes the problem away.
    """

    problem: str | None = None
    readable: bool = True
    until: datetime | None = None


class AwaitTicket(Model):
    """Wait until a ticket allows the cutover, or something else is wrong with it than what is `known`."""

    connection: str
    number: str
    known: TicketState | None = None


class RecordOnTicket(Model):
    """Write a work note that carries the mark, and close the ticket where a code is given."""

    connection: str
    number: str
    mark: Mark
    note: str
    close: Literal["successful", "unsuccessful"] | None = None


@dataclass
class ChangeTickets:
    """What is read from and written to change tickets."""

    systems: TicketSystems
    act_bound: timedelta
    poll: timedelta

    @activity.defn
    @translated(MigrationExecutionError)
    def await_ticket(self, request: AwaitTicket) -> TicketState:
        """One look an attempt. A system that is silent look after look is an answer: nobody says that it may begin."""
        state = self._look(request)
        lost = in_a_row(not state.readable)
        sure = state.readable or lost.count >= _UNREADABLE_LOOKS
        if state.problem is None or (sure and _is_news(state, request.known)):
            return state
        return look_again(state.problem, self.poll, remember=lost)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def record_on_ticket(self, request: RecordOnTicket) -> None:
        """Append the note if its mark is not there, then bring the ticket to its end, state by state."""
        system, mark = self.systems(request.connection), f"[{request.mark}]"
        with acting(self.act_bound) as attempt:
            # Looked at last of all: a journal takes twice what another attempt has written meanwhile.
            attempt.before_call()
            ticket = system.ticket(request.number)
            if mark not in ticket.notes:
                system.add_note(ticket.id, f"{request.note}\n{mark}")
            going = request.close is not None
            while going:
                attempt.before_call()
                going = system.advance(ticket.id, code=request.close or "", notes=request.note)

    def _look(self, request: AwaitTicket) -> TicketState:
        try:
            ticket = self.systems(request.connection).ticket(request.number)
        except MigrationError as error:
            return TicketState(problem=f"{request.number} cannot be read: {error}", readable=False)
        return state_of(ticket, now())


def state_of(ticket: Ticket, at: datetime) -> TicketState:
    """Judge a ticket: approved, not on hold, to be done, and within its planned time."""
    wrong = _what_people_do(ticket)
    starts, ends = ticket.starts, ticket.ends
    if starts is None or ends is None:
        wrong.append("it has no planned start and end")
    elif at >= ends:
        wrong.append(f"its planned time ended at {ends:{_AT}}")
    elif at < starts:
        wrong.append(f"its planned time begins at {starts:{_AT}}")
        return TicketState(problem=_words(ticket, wrong), until=starts)
    return TicketState(problem=_words(ticket, wrong) if wrong else None)


def _what_people_do(ticket: Ticket) -> list[str]:
    wrong = []
    if not ticket.approved:
        wrong.append(f"it is not approved ({ticket.approval or 'nobody was asked'})")
    if ticket.on_hold:
        wrong.append("it is on hold")
    if not ticket.to_be_done:
        wrong.append(f"its state is {ticket.state}")
    return wrong


def _words(ticket: Ticket, wrong: list[str]) -> str:
    return f"the change ticket {ticket.number} does not allow it: {'; '.join(wrong)}"


def _is_news(state: TicketState, known: TicketState | None) -> bool:
    """An unreadable ticket is told of once, however the words of the failure change."""
    if known is None or state.readable is not known.readable:
        return True
    return state.readable and state.problem != known.problem
