"""Answers of HTTP/1.1 as they stand on the wire: good ones, ones that break off, and garbage."""

from dataclasses import dataclass

from gateway.exchange import Headers
from tests.support.servers.scripted_server import answer


@dataclass(frozen=True, slots=True)
class Whole:
    status: int
    headers: Headers
    body: bytes
    reused: bool


ANSWERS: dict[str, tuple[bytes, bool, Whole, bool]] = {
    # wire, the server closes, what is read, whether the connection can be used again
    "length": (answer(b"hello"), False, Whole(200, [(b"content-length", b"5")], b"hello", False), True),
    "empty": (answer(b""), False, Whole(200, [(b"content-length", b"0")], b"", False), True),
    "no reason phrase": (
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        False,
        Whole(200, [(b"content-length", b"2")], b"ok", False),
        True,
    ),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n06\r\n world\r\n0\r\n\r\n",
        False,
        Whole(200, [(b"transfer-encoding", b"Chunked")], b"hello world", False),
        True,
    ),
    "chunk extensions": (
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n',
        False,
        Whole(200, [(b"transfer-encoding", b"chunked")], b"hello", False),
        True,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n",
        False,
        Whole(200, [(b"transfer-encoding", b"chunked")], b"hello", False),
        True,
    ),
    "up to the close": (
        b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhello",
        True,
        Whole(200, [(b"x", b"y")], b"hello", False),
        False,
    ),
    "nothing up to the close": (b"HTTP/1.1 200 OK\r\n\r\n", True, Whole(200, [], b"", False), False),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        False,
        Whole(200, [(b"content-length", b"2")], b"ok", False),
        False,
    ),
    "HTTP/1.0 kept alive": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        False,
        Whole(200, [(b"connection", b"keep-alive"), (b"content-length", b"2")], b"ok", False),
        True,
    ),
    "connection: close": (
        answer(b"ok", b"connection: close"),
        False,
        Whole(200, [(b"content-length", b"2"), (b"connection", b"close")], b"ok", False),
        False,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", False, Whole(204, [(b"x", b"y")], b"", False), True),
    "304 with a length": (
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n",
        False,
        Whole(304, [(b"content-length", b"100")], b"", False),
        True,
    ),
    "100, 102 and 103 first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nx: y\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answer(b"ok"),
        False,
        Whole(200, [(b"content-length", b"2")], b"ok", False),
        True,
    ),
    "an offer to upgrade": (
        answer(b"ok", b"upgrade: h2c", b"connection: upgrade, keep-alive"),
        False,
        Whole(
            200,
            [(b"content-length", b"2"), (b"upgrade", b"h2c"), (b"connection", b"upgrade, keep-alive")],
            b"ok",
            False,
        ),
        True,
    ),
    "an error": (
        answer(b"{}", status=b"500 Internal Server Error"),
        False,
        Whole(500, [(b"content-length", b"2")], b"{}", False),
        True,
    ),
    "repeated headers": (
        answer(b"", b"a: 1", b"A: 2", b"b:", b"a: \xff"),
        False,
        Whole(200, [(b"content-length", b"0"), (b"a", b"1"), (b"a", b"2"), (b"b", b""), (b"a", b"\xff")], b"", False),
        True,
    ),
}
GARBAGE = {
    "text": b"<html>no http</html>",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(100),
    "TLS": b"\x15\x03\x01\x00\x02\x02\x16",
    "a bad header": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "a zero in a header": b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    "a bad length": b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
    "an endless length": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
    "a coding not asked for": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: x\r\n\r\nok",
    "two codings": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\nok",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
    "another protocol, switched to": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nbinary",
    "101 without a protocol": b"HTTP/1.1 101 Switching\r\n\r\nbinary",
    "status 42": b"HTTP/1.1 042 What\r\ncontent-length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 What\r\ncontent-length: 0\r\n\r\n",
    "201 headers": answer(b"", *[b"x: y"] * 200),
    "headers of 70 KB": answer(b"", b"x: " + b"y" * 70_000),
}
HEAD_OF = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "before the first byte": (b"", "reset"),
    "in the status line": (b"HTTP/1.1 2", "reset"),
    "in a header": (HEAD_OF + b"content-", "reset"),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", "reset"),
    "in a small body": (HEAD_OF + b"content-length: 10\r\n\r\nfive!", "truncated"),
    "in a large body": (HEAD_OF + b"content-length: 1000000\r\n\r\nfive!", "truncated"),
    "before the body": (HEAD_OF + b"content-length: 1000000\r\n\r\n", "truncated"),
    "before a chunk": (HEAD_OF + b"transfer-encoding: chunked\r\n\r\n", "truncated"),
    "in a chunk": (HEAD_OF + b"transfer-encoding: chunked\r\n\r\na\r\nfive!", "truncated"),
    "between chunks": (HEAD_OF + b"transfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n", "truncated"),
    "before the last chunk's end": (HEAD_OF + b"transfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n", "truncated"),
    "in the trailers": (HEAD_OF + b"transfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\nx: y\r\n", "truncated"),
}
