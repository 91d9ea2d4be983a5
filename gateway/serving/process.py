"""Runs an ASGI application on a listening socket, in this process or in several that share the socket."""

import math
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.config.settings import ConfigError
from gateway.serving.connection import ServerConnection


def run(
    factory: str, listening: socket.socket, *, workers: int, drain_seconds: float, announce: Callable[[], None]
) -> None:
    """Serve what `module:function` makes, until SIGTERM or SIGINT; then open exchanges get `drain_seconds` to end.

    `announce` is called when nothing more can be wrong with the settings. Raises what the function raises.
    """
    config = uvicorn.Config(
        factory,
        factory=True,
        workers=workers,
        loop="uvloop",
        http=ServerConnection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(drain_seconds),
    )
    # uvicorn stops gracefully on SIGTERM and then raises it again: by then it only means "done".
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if workers > 1:
        announce()
        _Workers(config, sockets=[listening]).run()
    else:
        config.load()
        announce()
        uvicorn.Server(config).run(sockets=[listening])


class _Workers(Multiprocess):
    """Worker processes that share the port. When they are told to stop, so does the parent: as long as it held the
    port open, new connections would wait in a queue that nobody serves."""

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def handle_hup(self) -> None:
        """The workers read the policy's file again; nothing is restarted."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def listen(host: str, port: int, flags: str) -> socket.socket:
    """A listening socket that child processes inherit. Raises ConfigError, which names the `flags` that choose it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError([f"cannot listen on {host}:{port}: {error.strerror}; choose another with {flags}"]) from None
    listening.set_inheritable(True)
    return listening
