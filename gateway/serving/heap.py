"""How memory is kept. The C library keeps freed memory for the next large body, for some seconds; Python's garbage
collector leaves alone what lives as long as the process.

By default, glibc takes a body of some megabytes from the kernel page by page and gives it back at once, so a body of
10 MB costs 5,000 page faults, which takes longer than forwarding it: see `mallopt(3)`. With another C library nothing
is done.
"""

import ctypes
import gc

from gateway.beat import beat

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD
_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD
_LARGEST_KEPT = 32 << 20  # bytes: the most that glibc allows
_KEPT = 64 << 20  # bytes that may be free at the end of the heap before they are given back

_GIVE_BACK_SECONDS = 5.0

_libc = ctypes.CDLL(None)


def keep_freed() -> None:
    """Keep the memory of large bodies for the next ones, until `give_back`."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        _libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Return free memory to the system. Takes microseconds; after large bodies, about a millisecond."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def keep_what_is_built() -> None:
    """Call once, when a process is built: what exists then lives as long as the process. Requests leave hardly any
    cycles behind, so searching for them after every few hundred allocations costs some percent of all time and finds
    nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def give_back_regularly() -> None:
    """Keep freed memory for the next large body, and give it back every few seconds, until cancelled."""
    keep_freed()
    while True:
        await beat(_GIVE_BACK_SECONDS)
        give_back()
