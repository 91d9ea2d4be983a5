"""To upstreams through a library, httpcore2: for one behind a proxy, and for one that is offered HTTP/2.

A well-kept library does here what is rare and long to get right. It costs some ten times what `http1` costs, so an
upstream that is reached directly in HTTP/1.1 never comes here. It is the maintained line of httpcore; only its public
interface is used.

- In HTTP/2 the answers of one origin share connections, up to a hundred each. The library resets no stream, so
  `network` does: the upstream hears at once that an answer was given up. To the library the stream stays open, so its
  connection is retired: later requests go to another one, and it is closed as soon as nobody waits for anything on it.
- While a request body is streamed no other request shares its connection: the library reads nothing before it is sent.
- In HTTP/1.1 each request has a connection of its own, closed after the answer. The library would keep bytes that came
  behind an answer, and take them for the answer to the next request.
"""

from gateway.upstream.library.response import LibraryResponse
from gateway.upstream.library.transport import LibraryTransport

__all__ = ["LibraryResponse", "LibraryTransport"]
