"""Stored answers belong to the key that made them, as far as a bounded record remembers."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.access.admission import ANYONE
from gateway.access.stored_ids import (
    collection_of,
    files_named,
    id_of_answer,
    kept_in,
    names_files,
    referred_in,
    referred_pieces,
    segments_of,
)
from gateway.encodings import EncodingError, decode
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.openai_api import Operation, completes_upload, has_too_many_values, map_entries
from gateway.openai_api.uploads import Ends

_ENTRY_BYTES = 400  # memory of an entry beside its id
_UNPACKED_BYTES = 256 * 1024  # most bytes looked at of an answer in a content-encoding


class _Kept(NamedTuple):
    """`revision` is that of the policy that judged all of a file, else empty; `ends` are those of a piece of a file."""

    owner: str
    collection: str
    revision: str = ""
    ends: Ends | None = None


class StoredAnswers:
    """Which key made which stored response, chat completion, conversation, file, batch or vector store.

    At most `entries` of them in `most_bytes` are remembered, those used last. Where callers have no keys, only files
    that a policy judged are remembered. What is not remembered is open to everybody.
    """

    def __init__(self, *, entries: int = 100_000, most_bytes: int = 64 * 2**20) -> None:
        self._entries = entries
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._made: dict[str, Counter[str]] = {}  # by collection, how many of them each owner made

    def admit(self, exchange: Exchange) -> None:
        """Raises GatewayError not_found for a path that names what another key made."""
        if not self._kept or not (owner := _owner(exchange)):
            return
        for id in segments_of(exchange.asked.path):
            self._refuse_other(owner, id, None)

    @staticmethod
    def concerns(exchange: Exchange) -> bool:
        """Whether the answer may have to be remembered, or parts of it kept from this caller."""
        return exchange.principal is not ANYONE or exchange.ruling.wholly_read

    def sifts(self, exchange: Exchange) -> bool:
        """Whether the answer lists what other keys made as well."""
        owner = _owner(exchange)
        collection = collection_of(exchange.asked.method, exchange.asked.path) if owner and self._kept else ""
        makers = self._made.get(collection, ())
        return len(makers) > (owner in makers)

    def sift(self, exchange: Exchange, body: bytes) -> tuple[bytes, int]:
        """A list without the entries that other keys made, as far as that is remembered, and how many were left out.

        Raises GatewayError not_found for what cannot be sifted.
        """
        owner, left_out = _owner(exchange), 0

        def own(_number: int, entry: Any) -> Any:
            nonlocal left_out
            made_by = self.owner(entry["id"]) if isinstance(entry.get("id"), str) else None
            left_out += made_by not in (owner, None)
            return entry if made_by in (owner, None) else None

        try:
            if has_too_many_values(body):
                raise ValueError("too many values")
            return map_entries(body, "data", own), left_out
        except (ValueError, AttributeError):
            sentence = "the list also names what other keys made, and cannot be read; ask for each by its id"
            raise GatewayError("not_found", sentence) from None

    def go_on(self, exchange: Exchange) -> None:
        """Refuse a body that names what another key made: raises GatewayError not_found. Where it names a file, or the
        pieces of one, set the policy that judged the file, and the pieces."""
        if self._kept:
            asked = exchange.asked
            for id, param in referred_in(asked.body):
                self._refuse_other(_owner(exchange), id, param)
                if param == "input_file_id" and (kept := self._kept.get(id)):
                    asked.file_revision = kept.revision
            if completes_upload(asked.operation, asked.path):
                asked.pieces, asked.file_revision = self._pieces(_owner(exchange), referred_pieces(asked.body))

    def _pieces(self, owner: str, ids: Sequence[str]) -> tuple[list[Ends], str]:
        """How these pieces begin and end, and the policy that judged all of them, which is empty if one piece is not
        remembered. Raises GatewayError not_found for a piece that another key sent."""
        pieces, revisions = [], set()
        for id in ids:
            self._refuse_other(owner, id, "part_ids")
            kept = self._kept.get(id)
            revisions.add(kept.revision if kept and kept.ends else "")
            pieces += [kept.ends] if kept and kept.ends else []
        return pieces, revisions.pop() if len(revisions) == 1 else ""

    def awaits(self, exchange: Exchange) -> bool:
        """Whether the answer's id has to be remembered, or the ids of files that it names."""
        if exchange.principal is ANYONE:
            return exchange.ruling.wholly_read
        asked = exchange.asked
        if not _owner(exchange):
            return False
        if kept_in(asked.operation, asked.method, asked.body):
            return True
        return asked.operation is Operation.OTHER and names_files(asked.operation, asked.path)

    def note(self, exchange: Exchange, begun: bytes) -> bool:
        """Remember the answer that begins like this; False if its id, or ids of files, may still come."""
        asked = exchange.asked
        encoding = exchange.transcript.encoding
        try:
            plain = decode(begun, encoding, _UNPACKED_BYTES)[0] if encoding else begun
        except EncodingError:
            return False
        owner, kept = _owner(exchange), kept_in(asked.operation, asked.method, asked.body)
        id = id_of_answer(asked.operation, plain)
        if id and kept:
            read = exchange.ruling.revision if exchange.ruling.wholly_read else ""
            self.remember(id, owner, kept, read, exchange.ruling.ends)
        if not names_files(asked.operation, asked.path):
            return bool(id)
        read = asked.file_revision if asked.pieces and exchange.ruling.wholly_read else ""
        for file in files_named(plain):
            self.remember(file, owner, "files", read)
        return False  # the ids of files come at the end of an answer

    def remember(self, id: str, owner: str, collection: str, revision: str = "", ends: Ends | None = None) -> None:
        """Remember who made an id; a later owner does not replace the first."""
        if id in self._kept:
            return
        made = self._kept[id] = _Kept(owner, collection, revision, ends)
        self._made.setdefault(collection, Counter())[owner] += 1
        self._bytes += _size(id, made)
        while len(self._kept) > self._entries or self._bytes > self._most_bytes:
            self._forget(*self._kept.popitem(last=False))

    def _forget(self, id: str, kept: _Kept) -> None:
        """Take what was the longest unused out of the sums."""
        self._bytes -= _size(id, kept)
        makers = self._made[kept.collection]
        makers[kept.owner] -= 1
        if not makers[kept.owner]:
            del makers[kept.owner]

    def owner(self, id: str) -> str | None:
        """The name of the key that made it; None if that is not remembered."""
        kept = self._kept.get(id)
        return None if kept is None else kept.owner

    def _refuse_other(self, owner: str, id: str, param: str | None) -> None:
        found = self.owner(id)
        if found is None:
            return
        if found != owner:
            raise GatewayError("not_found", "nothing is stored under this id for this key", param=param)
        self._kept.move_to_end(id)


def _owner(exchange: Exchange) -> str:
    """Who sends the request; empty where callers cannot be told apart."""
    principal = exchange.principal
    return "" if principal is None or principal is ANYONE else principal.name


def _size(id: str, kept: _Kept) -> int:
    ends = 0 if kept.ends is None else len(kept.ends.first) + len(kept.ends.last or b"")
    return _ENTRY_BYTES + 4 * len(id) + ends
