"""The demo upstream as a process of its own, which ends with the one that started it."""

import socket
import subprocess
import sys


def start(*, apart: bool = False) -> tuple["subprocess.Popen[bytes]", str]:
    """The process, which is the caller's to end, and the base URL at which it takes connections from now on.

    This process listens before it starts the other one and hands it the socket, so that nobody else can get the port,
    and connections that come early wait. `apart`: a Ctrl-C at the terminal does not reach it.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        handed = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "demo-upstream", "--with-parent", "--socket", str(handed)],
            stdin=subprocess.PIPE,
            pass_fds=(handed,),
            process_group=0 if apart else None,
        )
        return process, f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
