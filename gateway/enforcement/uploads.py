"""Applies the policy to an upload, a few lines at a time; if a rule stops one line, the whole upload is refused."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from gateway.encodings import EncodingError, unpack
from gateway.enforcement.deciding import PASSING, Decider
from gateway.errors import GatewayError
from gateway.judging.messages import Finding, judging_request
from gateway.openai_api import Operation, Unread
from gateway.openai_api.uploads import Ends, Line, Upload, read_seams, read_upload
from policies.engine import Decision

MOST_BYTES = 4 * 2**20  # held of an upload to be judged
MOST_TEXTS = 4_096  # judged of an upload
MOST_SECONDS = 60.0  # spent on judging an upload
_TEXTS, _CHARACTERS = 32, 32_000  # judged at once


async def judge_upload(
    decider: Decider, body: bytes, headers: Mapping[bytes, bytes], operation: Operation, *, whole: bool
) -> Ends | None:
    """Judge an upload, or only its beginning if `whole` is False. Gives the ends of a piece of a file.

    Raises GatewayError prompt_blocked and prompt_unjudged, which name the line, and bad_body.
    """
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding not in ("", "identity"):
        plain = await asyncio.to_thread(_unpacked, body, encoding) if whole else None
        if plain is None:
            _refuse(decider, 0, [Unread("user", "encoding")])
            return None
        body = plain
    kind = headers.get(b"content-type", b"").decode("latin-1")
    upload = await asyncio.to_thread(read_upload, body, kind, whole=whole, is_piece=operation is Operation.UPLOAD_PARTS)
    if operation is Operation.OTHER:
        upload.unread.append(Unread("user", "operation"))
    await _judge_lines(decider, upload)
    return upload.ends[0] if len(upload.ends) == 1 else None


async def judge_seams(decider: Decider, pieces: Sequence[Ends]) -> None:
    """Judge the lines of a file that were cut where its pieces end. Raises what `judge_upload` raises."""
    await _judge_lines(decider, await asyncio.to_thread(read_seams, pieces))


async def _judge_lines(decider: Decider, upload: Upload) -> None:
    _refuse(decider, 0, upload.unread)
    for line in upload.lines:
        _refuse(decider, line.number, line.unread)
    until = monotonic() + MOST_SECONDS
    left = MOST_TEXTS
    for number, few in enumerate(_slices(upload.lines)):
        left -= sum(len(line.passages) for line in few)
        if left < 0 or (number and monotonic() > until):
            _refuse(decider, few[0].number, [Unread("user", "too_long")])
            return
        await _judge(decider, few, until)


def _unpacked(body: bytes, encoding: str) -> bytes | None:
    """The decoded body; None if it cannot be decoded or is too large."""
    try:
        return unpack(body, encoding, MOST_BYTES)
    except EncodingError:
        return None


async def _judge(decider: Decider, lines: Sequence[Line], until: float) -> None:
    said = [(passage.channel, passage.text) for line in lines for passage in line.passages]
    places = [line.number for line in lines for _ in line.passages]
    wanted = judging_request("files", caller=decider.caller, said=said, prompt_slugs=decider.needed, urgent=True)
    found = await decider.ask(wanted, seconds=until - monotonic())
    groups: dict[int, list[Finding]] = {number: [] for number in places}
    for finding in found.findings:
        groups[places[int(finding.path[0])]].append(finding)
    for number, decision in decider.rule(groups, found).items():
        _stop(decider, number, decision)


def _refuse(decider: Decider, number: int, unread: Sequence[Unread]) -> None:
    """Raises GatewayError for what is ambiguous, and for unread parts if a rule stops them."""
    if any(reason == "ambiguous" for _, reason in unread):
        raise GatewayError(
            "bad_body",
            f"{_place(number)} can be read in two ways (a boundary or a head that differs from RFC 7578, or a key that "
            "occurs twice); write it plainly",
        )
    if unread:
        _stop(decider, number, decider.unread(unread))


def _stop(decider: Decider, number: int, decision: Decision) -> None:
    """Refuse what may not pass whole: nothing can be cut out of an upload, and no message can replace it."""
    if decision.action not in PASSING:
        raise decider.error("prompt", decision, place=_place(number))


def _place(number: int) -> str:
    return f"line {number} of the upload" if number else "the upload"


def _slices(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """Lines that have texts, a few at a time."""
    few: list[Line] = []
    texts = characters = 0
    for line in lines:
        if not line.passages:
            continue
        size = sum(len(passage.text) for passage in line.passages)
        if few and (texts + len(line.passages) > _TEXTS or characters + size > _CHARACTERS):
            yield few
            few, texts, characters = [], 0, 0
        few.append(line)
        texts += len(line.passages)
        characters += size
    if few:
        yield few
