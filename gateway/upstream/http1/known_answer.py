"""The head of an answer that a connection has read before.

The heads of a model server's answers are alike, except for the length of the body and the date. What the parser makes
of a head depends only on its bytes, so a head that differs at most in these two need not be parsed again.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.exchange import Headers

_MOST_BYTES = 2048  # of a head that is remembered; each connection remembers one
_LENGTH, _DATE = b"content-length", b"date"
_IS_DATE = re.compile(rb"[A-Za-z]{3}, [0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9:]{8} GMT")  # RFC 9110, 5.6.7
_DATE_BYTES = 29
_VALUES = re.compile(rb"(?<=\r\n)(content-length|date):[ ]?([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_SMALLEST = 100  # bytes of a body; the parser reads smaller ones


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """What a head means, and its bytes as `parts`, between which the length and the date stand.

    `ends` are where the parts would end without these two; `length_first` says which of the two comes first.
    `length_at` and `date_at` are their places in `headers`. Without a date, `date_at` is -1 and `date_bytes` is 0.
    """

    parts: tuple[bytes, bytes, bytes]
    ends: tuple[int, int, int]
    length_first: bool
    date_bytes: int
    status: int
    headers: Headers
    length_at: int
    date_at: int

    def read(self, data: bytes) -> tuple[Headers, int] | None:
        """The headers of an answer that is exactly this data, and where its body starts; None for anything else.

        The size of the data tells how long the body must be, and so where each part must stand.
        """
        date_bytes, (first, second, third) = self.date_bytes, self.ends
        rest = len(data) - third - date_bytes
        digits = 3 if rest <= 1002 else 4 if rest <= 10_003 else 5
        size = rest - digits
        if not _SMALLEST <= size <= 99_999:
            return None
        one, two = (digits, date_bytes) if self.length_first else (date_bytes, digits)
        a, b, c, start = first + one, second + one, second + one + two, third + one + two
        if data[:first] != self.parts[0] or data[a:b] != self.parts[1] or data[c:start] != self.parts[2]:
            return None
        length, date = (data[first:a], data[b:c]) if self.length_first else (data[b:c], data[first:a])
        if length != str(size).encode() or (date and not _is_date(date)):
            return None
        headers = self.headers.copy()
        headers[self.length_at] = _LENGTH, length
        if date:
            headers[self.date_at] = _DATE, date
        return headers, start


@lru_cache(maxsize=8)
def _is_date(value: bytes) -> bool:
    return _IS_DATE.fullmatch(value) is not None


def known_answer(data: bytes, status: int, headers: Headers) -> KnownAnswer | None:
    """What to remember of `data` that was read as an answer with this head.

    None for a head that cannot be remembered: it is too large, its body is not framed by one content-length alone, or
    the data holds more than the answer.
    """
    end = data.find(b"\r\n\r\n", 0, _MOST_BYTES) + 4
    values = {found[1].lower(): found for found in _VALUES.finditer(data, 0, max(0, end - 2))}
    names = [name for name, _ in headers]
    length, date = values.get(_LENGTH), values.get(_DATE)
    if length is None or names.count(_LENGTH) != 1 or names.count(_DATE) > 1 or b"transfer-encoding" in names:
        return None
    if date is not None and not _is_date(date[2]):
        date = None
    where = (end, end) if date is None else date.span(2)
    length_first = length.start(2) < where[0]
    (a, b), (c, d) = sorted([length.span(2), where])
    known = KnownAnswer(
        parts=(data[:a], data[b:c], data[d:end]),
        ends=(a, a + c - b, a + c - b + end - d),
        length_first=length_first,
        date_bytes=0 if date is None else _DATE_BYTES,
        status=status,
        headers=headers.copy(),
        length_at=names.index(_LENGTH),
        date_at=-1 if date is None else names.index(_DATE),
    )
    return known if known.read(data) == (headers, end) else None
