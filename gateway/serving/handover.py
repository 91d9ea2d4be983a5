"""How a listener ends while another process listens on the same port, so that no client sees a reset.

The system assigns connections to the listeners of a port by a hash of their addresses. When a listener closes, it
resets the connections that wait in its queue. Even if the queue is emptied first, a connection may come between the
last look and the close. So the listener first turns deaf: it drops the packets that begin a connection (SYN). Clients
repeat them after a second, and by then only the other listener is left. If the kernel moves connections by itself
(`net.ipv4.tcp_migrate_req`), this does no harm.
"""

import ctypes
import socket
import struct

DEAF_SECONDS = 0.1  # between turning deaf and closing, so that handshakes that have begun are completed

_SO_ATTACH_FILTER = 26  # Linux: <asm/socket.h>
_FLAGS, _SYN = 13, 0x02  # of a TCP header
_LOAD_BYTE, _ANY_BIT, _RETURN = 0x30, 0x45, 0x06  # classic BPF: <linux/filter.h>
# Instruction, steps to jump if true, steps to jump if false, operand.
_WITHOUT_SYN = ((_LOAD_BYTE, 0, 0, _FLAGS), (_ANY_BIT, 0, 1, _SYN), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF))


def is_shared(listening: socket.socket) -> bool:
    """Whether other processes may listen on the same port."""
    return bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


def turn_deaf(listening: socket.socket) -> None:
    """Let no connection begin at this listener any more. Raises OSError if the system cannot do that."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _WITHOUT_SYN))
    told = struct.pack("HP", len(_WITHOUT_SYN), ctypes.addressof(program))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
