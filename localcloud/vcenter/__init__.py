"""The data centre's vCenter: govmomi's simulator with the world's machines, a fault plan and a ledger in front."""

from collections.abc import Sequence
from functools import partial

from localcloud.faults import FaultPlan
from localcloud.http_server import HttpServer
from localcloud.ledger import Ledger
from localcloud.toolchain import Say
from localcloud.vcenter.build import vcenter_binary
from localcloud.vcenter.program import PASSWORD, USERNAME, OnChange, Program
from localcloud.vcenter.proxy import Proxy
from localcloud.world import SourceMachine

__all__ = ["PASSWORD", "USERNAME", "OnChange", "VCenterSimulator"]


class VCenterSimulator:
    """A vCenter over plain http whose machines all run, with guest tools, one connected network card and one disk.

    The user is `USERNAME` with `PASSWORD`. Faults: service `vcenter`, operation the SOAP method
    (`PowerOffVM_Task`), target the machine's name or id; `code` is the vim fault's type, `SystemError` by default.
    """

    def __init__(
        self,
        machines: Sequence[SourceMachine],
        ledger: Ledger,
        faults: FaultPlan,
        *,
        on_change: OnChange,
        host: str = "127.0.0.1",
        port: int = 0,
        say: Say = print,
    ) -> None:
        """Keep the parts.

        Args:
            machines: The virtual machines, in the order of their ids.
            ledger: Gets every mutating call that took effect.
            faults: Asked at every call.
            on_change: Told of each change of power or network, from one thread, before the call that caused it is
                answered (but for guest shutdowns, which are answered at once). Not told of the state at the start.
            host: Where to listen.
            port: The port; 0 takes a free one.
            say: Told what is going on while the simulator is built.
        """
        known = frozenset(machine.name for machine in machines)
        self._say = say
        self._program = Program(machines, partial(_tell_of, known, on_change))
        self._server = HttpServer(Proxy(self._program, ledger, faults).answer, name="vcenter", host=host, port=port)

    def start(self) -> None:
        """Build the simulator if need be, run it, and listen.

        Raises:
            BuildError: It could not be built.
            RuntimeError: It did not start.
        """
        self._program.start(vcenter_binary(self._say))
        self._server.start()

    def stop(self) -> None:
        """Stop listening and end the simulator; its state is gone."""
        self._server.stop()
        self._program.stop()

    @property
    def url(self) -> str:
        """The URL of the SOAP endpoint."""
        return f"{self._server.url}/sdk"


def _tell_of(known: frozenset[str], on_change: OnChange, name: str, powered: bool, connected: bool, at: float) -> None:
    if name in known:
        on_change(name, powered, connected, at)
