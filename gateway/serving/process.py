"""Runs an ASGI application on a listening socket, in this process or in several that share the socket.

A process that is told to end goes step by step, so that no request is lost on the way:

1. `/readyz` says no at once, and every answer asks its client to open a new connection.
2. For `delay_seconds` new connections are still taken, until load balancers have noticed.
3. The listener closes; connections that the system had already accepted for us are served. If another process may
   listen on the port as well, `handover` comes first.
4. Idle connections get a moment more: a request may be on its way.
5. Open exchanges get `drain_seconds` to end.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, MappingProxyType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from detectors.manifest import ModelError
from gateway.config.settings import ConfigError
from gateway.serving import draining, handover
from gateway.serving.connection import ServerConnection
from gateway.serving.crew import Crew
from policies.source import PolicyError

log = logging.getLogger("assay")

_IDLE_SECONDS = 1.0  # how long connections may stay idle once the listener is closed
_LOOK_SECONDS = 0.05
_SWITCH_SECONDS = 0.0005  # after which a computing thread lets traffic go on; Python's default is 5 ms
_BACKLOG = 2048  # connections that the system may accept before we take them
# What is uvicorn's to do, and how: sockets, signals and workers, but no protocol, logs or headers of its own.
_UVICORN: Mapping[str, Any] = MappingProxyType(
    {
        "factory": True,
        "loop": "uvloop",
        "http": ServerConnection,
        "interface": "asgi3",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "date_header": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "backlog": _BACKLOG,
    }
)


@dataclass(frozen=True, slots=True)
class ProcessEnding:
    """How a process ends: see above."""

    delay_seconds: float
    drain_seconds: float


def _nothing() -> None:
    """What a worker process does first by default."""


def run(
    factory: str,
    listening: socket.socket,
    *,
    workers: int,
    ending: ProcessEnding,
    announce: Callable[[], None],
    prepare: Callable[[], None] = _nothing,
) -> None:
    """Serve what `module:function` makes, until SIGTERM or SIGINT.

    `announce` is called when the settings are known to be good. Each of several workers calls `prepare` before it
    begins. Raises what the function raises.
    """
    drain_seconds = math.ceil(ending.drain_seconds)
    config = uvicorn.Config(factory, workers=workers, timeout_graceful_shutdown=drain_seconds, **_UVICORN)
    # uvicorn stops gracefully on SIGTERM and then raises it again: by then it only means "done".
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    if workers > 1:
        announce()
        _Workers(config, [listening], ending, prepare).run()
    else:
        config.load()
        announce()
        _Server(config, ending).run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn's server, which ends in the steps above."""

    def __init__(self, config: uvicorn.Config, ending: ProcessEnding) -> None:
        super().__init__(config)
        self._ending = ending
        self._told = asyncio.Event()  # to end
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        draining.begin()
        super().handle_exit(sig, frame)
        if self._loop is None:
            self._told.set()
        else:
            self._loop.call_soon_threadsafe(self._told.set)  # it may sleep

    async def main_loop(self) -> None:
        """uvicorn's own loop checks ten times a second whether it should end; here an event tells it."""
        self._loop = asyncio.get_running_loop()
        if not await self.on_tick(0):
            await self._told.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but programs that this process starts must not inherit the listener: while they held it, the
        system would go on assigning connections to a process that no longer takes them.
        """
        for listening in sockets or []:
            listening.set_inheritable(False)
        sys.setswitchinterval(_SWITCH_SECONDS)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining.begin()
        await self._wait(self._ending.delay_seconds, lambda: False)
        await self._turn_deaf(sockets or [])
        await self._stop_accepting(sockets or [])
        for connection in list(self.server_state.connections):
            if isinstance(connection, ServerConnection):
                connection.retire()
        await self._wait(_IDLE_SECONDS, lambda: not self.server_state.connections)
        await asyncio.sleep(0)  # what has arrived by now is read first: closing would reset it
        await super().shutdown(sockets)

    async def _wait(self, seconds: float, is_over: Callable[[], bool]) -> None:
        """Wait in counted steps: after each, what has arrived is read, even if the machine stood still."""
        for _ in range(math.ceil(seconds / _LOOK_SECONDS)):
            if is_over() or self.force_exit:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _turn_deaf(self, sockets: Sequence[socket.socket]) -> None:
        """Leave new connections to the other process, if there may be one."""
        shared = [listening for listening in sockets if handover.is_shared(listening)]
        for listening in shared:
            with contextlib.suppress(OSError):  # then a connection that comes in the last moment may be reset
                handover.turn_deaf(listening)
        await self._wait(handover.DEAF_SECONDS if shared else 0.0, lambda: False)

    async def _stop_accepting(self, sockets: Sequence[socket.socket]) -> None:
        """Close the listener. Connections in its queue would be reset, so they are accepted first."""
        loop = asyncio.get_running_loop()
        waiting = []
        for listening in sockets:
            with listening.dup() as last:
                for server in self.servers:
                    server.close()
                listening.close()
                waiting += accept_all(last)
        for connection in waiting:
            await loop.connect_accepted_socket(self._connection, connection)

    def _connection(self) -> ServerConnection:
        return ServerConnection(self.config, self.server_state, self.lifespan.state)


def accept_all(listening: socket.socket) -> list[socket.socket]:
    listening.setblocking(False)
    found: list[socket.socket] = []
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # there is none, or no descriptor for one
            return found
        connection.setblocking(False)
        found.append(connection)


class _Worker(Process):
    """A worker process, whose server ends in the steps above. One that is started later may find other settings."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], ending: ProcessEnding, prepare: Callable[[], None]
    ) -> None:
        self._ending = ending
        self._prepare = prepare
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        self._prepare()
        try:
            super().target(sockets)
        except (ConfigError, PolicyError, ModelError) as error:
            log.error("a worker process cannot start: %s", "; ".join(str(error).splitlines()))
            sys.exit(STARTUP_FAILURE)

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = _Server(self.config, self._ending)
        return self._server


class _Workers(Multiprocess):
    """Worker processes that share the port. When they are told to stop, the parent closes the port too: otherwise new
    connections would wait in a queue that nobody serves."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], ending: ProcessEnding, prepare: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._ending = ending
        self._prepare = prepare

    def run(self) -> None:
        """As uvicorn's, with a shorter wait, so that workers hear of a signal at once.

        uvicorn also kills workers that give no sign of life. We do not: a thread gives the sign even if no requests are
        served, and on a busy machine it comes too late, so that a worker would be killed while it starts.
        """
        crew = Crew(self._started, self.processes_num)
        while not self.should_exit.wait(0.1):
            self.processes = [*crew.workers]
            self.handle_signals()
            if not crew.look():
                break
        self.processes = [*crew.workers]
        self.terminate_all()
        self.join_all()

    def _started(self) -> _Worker:
        worker = _Worker(self.config, self.sockets, self._ending, self._prepare)
        worker.start()
        return worker

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def handle_hup(self) -> None:
        """Pass SIGHUP on: the workers read again the files that may change. Nothing is restarted."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def listen(host: str, port: int, flags: str, *, shared: bool = False) -> socket.socket:
    """A socket to listen on. Raises ConfigError, naming the `flags` that choose it.

    With `shared`, other processes that share it may listen on the same port. This one then listens only when its server
    has started, because from then on the system assigns it connections that another could have served.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if shared:
            listening = socket.socket(family)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((host, port))
        else:
            listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError([f"cannot listen on {host}:{port}: {error.strerror}; choose another with {flags}"]) from None
    return listening
