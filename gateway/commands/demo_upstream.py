"""`assay demo-upstream`: a model server that answers with replies of written conversations."""

import argparse
import os
import signal
import socket
import sys
import threading

from gateway.demo import server


def demo_upstream(parsed: argparse.Namespace) -> int:
    """`assay demo-upstream`, until it is stopped."""
    if parsed.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    else:
        sys.stdout.write(f"demo upstream at http://{parsed.host}:{parsed.port}/v1\n")
        sys.stdout.flush()
    handed = None if parsed.socket is None else socket.socket(fileno=parsed.socket)
    server.serve(parsed.host, parsed.port, listening=handed)
    return 0


def _end_with_parent() -> None:
    """Ends this process when its standard input closes, which happens however the parent ends."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
