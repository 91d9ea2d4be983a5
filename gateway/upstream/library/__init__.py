"""To upstreams through httpx: for one behind a proxy, and for one that is offered HTTP/2.

A well-kept library does here what is rare and long to get right. It costs some ten times what `http1` costs, so an
upstream that is reached directly in HTTP/1.1 never comes here. `httpx2` is the maintained line of httpx; only its
public transport is used.

- In HTTP/2 the answers of one origin share connections, up to a hundred each. The library resets no stream, so an
  answer that is given up retires its connection: later requests go to another one, and it is closed, which tells the
  upstream to stop, as soon as nobody waits for anything on it.
- In HTTP/1.1 each request has a connection of its own, closed after the answer. The library would keep bytes that came
  behind an answer, and take them for the answer to the next request.
"""

from gateway.upstream.library.response import HttpxResponse
from gateway.upstream.library.transport import HttpxTransport

__all__ = ["HttpxResponse", "HttpxTransport"]
