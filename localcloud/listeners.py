"""HTTP on many addresses at once: one thread, one event loop, a listener for every machine that is up."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Collection
from typing import Any

from localcloud.world import APPLICATION_PORT

Answer = Callable[[str, str], tuple[int, dict[str, Any]]]

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_PATIENCE_SECONDS = 5.0


class Listeners:
    """Listens on the addresses it is told, and answers GET requests by `answer(address, path)`."""

    def __init__(self, answer: Answer, *, port: int = APPLICATION_PORT) -> None:
        """`answer` gives status and JSON body; it is called in the listeners' own thread."""
        self._answer = answer
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: dict[str, asyncio.Server] = {}
        self._turn = threading.Lock()

    def start(self) -> None:
        """Start the thread; nothing listens yet."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="applications", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every listener and end the thread."""
        with self._turn:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is None or thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._close(), loop).result(_PATIENCE_SECONDS)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE_SECONDS)
            loop.close()

    def listen_on(self, wanted: Callable[[], Collection[str]]) -> set[str]:
        """Listen on exactly the wanted addresses, and return when it is so; on none before start and after stop.

        Args:
            wanted: Gives the addresses; called when it is this caller's turn, so that a late caller cannot undo
                a newer state.

        Returns:
            The addresses that cannot be had now, for instance because they are in use.
        """
        with self._turn:
            addresses = set(wanted())
            if self._loop is None or addresses == self._servers.keys():
                return set()
            return asyncio.run_coroutine_threadsafe(self._reach(addresses), self._loop).result()

    async def _reach(self, addresses: set[str]) -> set[str]:
        for address in self._servers.keys() - addresses:
            self._servers.pop(address).close()
        missing = set()
        for address in sorted(addresses - self._servers.keys()):
            try:
                self._servers[address] = await asyncio.start_server(self._serve, address, self._port)
            except OSError:
                missing.add(address)
        return missing

    async def _close(self) -> None:
        await self._reach(set())
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            address = str(writer.get_extra_info("sockname")[0])
            status, body = self._answer(address, target.split("?")[0]) if method == "GET" else (405, {})
            writer.write(_reply(status, body))
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _reply(status: int, body: dict[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + payload
