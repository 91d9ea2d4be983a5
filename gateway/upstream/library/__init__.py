"""Reaches upstreams through a library, httpcore2: those behind a proxy, and those that are offered HTTP/2.

This is rare and takes long to get right, so a well-kept library does it. It costs some ten times what `http1` costs, so
upstreams that are reached directly in HTTP/1.1 do not use it. httpcore2 is the maintained line of httpcore; only its
public interface is used.

- In HTTP/2 the answers of one origin share connections, up to a hundred each. The library never resets a stream, so
  `network` does: the upstream hears at once that an answer was given up. For the library the stream stays open, so its
  connection is retired: later requests go to another one, and it is closed as soon as nobody waits for anything on it.
- While a request body is streamed, no other request shares its connection, because the library reads nothing until the
  body was sent.
- In HTTP/1.1 each request has a connection of its own, closed after the answer. Otherwise the library would keep bytes
  that came after an answer, and take them for the answer to the next request.
"""

from gateway.upstream.library.response import LibraryResponse
from gateway.upstream.library.transport import LibraryTransport

__all__ = ["LibraryResponse", "LibraryTransport"]
