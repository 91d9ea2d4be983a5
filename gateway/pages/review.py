"""The review queue as JSON, for the page and for other tools: samples that wait for labels, and the labels given."""

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.opinions.labelling import Filters, LabelError, Review
from gateway.pages.posted import PostedError, posted, refused
from gateway.trust.ledger import LedgerError
from gateway.trust.second_opinion import Label

_MOST_ITEMS = 50
_MOST_BYTES = 64 * 1024
_SOMEBODY = "operator"  # the reviewer, if none is named
_NO_TEXTS = "texts are not kept; set `review_text` to see them here"
_DECISIONS = {"flag": True, "allow": False}


class _Given(msgspec.Struct):
    subcategory: str
    direction: str
    value: bool


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    sample: str
    labels: list[_Given]
    by: str = _SOMEBODY


def review_routes(review: Review, *, may_post: bool, keeps_texts: bool) -> list[Route]:
    """`/trust/v1/review` and `/trust/v1/labels`; labels are accepted only with `may_post` (see `posted`)."""

    async def items(request: Request) -> Response:
        asked = request.query_params
        try:
            found = await review.next(asked.get("by", _SOMEBODY), _filters(asked), _number(asked, "most", 10))
            about = {"waiting": await review.waiting(), "agreement": await review.agreement()}
        except (LabelError, LedgerError) as error:
            return _refusal(error)
        note = None if keeps_texts else _NO_TEXTS
        return JSONResponse({**about, "note": note, "items": [item.shown() for item in found]})

    async def label(request: Request) -> Response:
        try:
            given = msgspec.json.decode(await posted(request, _MOST_BYTES, may_post=may_post), type=_Labels)
            labels = [Label(each.direction, each.subcategory, float(each.value)) for each in given.labels]
            await review.label(given.sample, given.by, labels)
        except PostedError as error:
            return refused(error.status, str(error))
        except msgspec.DecodeError as error:
            return refused(400, f"the body does not hold labels in the expected form: {error}")
        except (LabelError, LedgerError) as error:
            return _refusal(error)
        return JSONResponse({"kept": len(labels), "sample": given.sample, "by": given.by})

    return [Route("/trust/v1/review", items), Route("/trust/v1/labels", label, methods=["POST"])]


def _filters(asked: Mapping[str, str]) -> Filters:
    """The filters in a query. Raises LabelError."""
    decision = asked.get("decision")
    if decision is not None and decision not in _DECISIONS:
        raise LabelError(f"`decision` must be `flag` or `allow`, not {decision[:20]!r}")
    return Filters(
        asked.get("subcategory"),
        asked.get("route"),
        asked.get("model"),
        None if decision is None else _DECISIONS[decision],
        _seconds(asked, "since"),
        _seconds(asked, "until"),
    )


def _seconds(asked: Mapping[str, str], name: str) -> float | None:
    text = asked.get(name)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise LabelError(f"`{name}` is a time in Unix seconds, not {text!r}"[:200]) from None


def _number(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MOST_ITEMS:
        raise LabelError(f"`{name}` is a number from 1 to {_MOST_ITEMS}, not {text[:20]!r}")
    return int(text)


def _refusal(error: Exception) -> Response:
    if isinstance(error, LedgerError):
        return refused(503, f"the ledger cannot be used now: {error}")
    return refused(400, str(error))
