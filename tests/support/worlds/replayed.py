"""A world for probes: samples of a route, a model that is scripted, and what the ledger got."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from gateway.judging.budget import CallBudget
from gateway.probes.lane import Lane
from gateway.probes.prober import ProbeBounds, Prober
from gateway.probes.table import Probe, table
from gateway.trust import drawing
from gateway.trust.judged import Judged
from gateway.upstream.posts import PostAnswer, PostError
from tests.support.fakes import sample
from tests.support.judges.judge_models import chat_answer
from tests.support.worlds.ledgers import NOON, judged

Says = Callable[[Mapping[str, Any]], str | bytes | PostError]


def chat_sample(id: str, question: str, answer: str | bytes, *, probability: float = 1.0, **more: Any) -> Judged:
    """A judged exchange of chat; `answer` is its text or the whole body, `more` are fields of the request's body."""
    body = {"model": "m", "messages": [{"role": "user", "content": question}], **more}
    found = judged(id, probability=probability)
    whole = answer if isinstance(answer, bytes) else json.dumps(chat_answer(answer)).encode()
    return _with_sample(found, json.dumps(body).encode(), whole)


def _with_sample(found: Judged, prompt: bytes, answer: bytes, **more: Any) -> Judged:
    whole = sample(found.id, prompt=prompt, answer=answer, upstream="first", closed_at=found.at, **more)
    return Judged(
        **{name: getattr(found, name) for name in Judged.__struct_fields__ if name not in ("sample", "scores")},
        scores=[],
        sample=whole,
    )


def message_sample(id: str, question: str, answer: bytes, *, stream: bool = False, **more: Any) -> Judged:
    """A judged exchange in Anthropic's dialect; `answer` as it came, `more` are fields of the request's body."""
    own = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": question}], "stream": stream}
    body = own | more
    return _with_sample(judged(id), json.dumps(body).encode(), answer, operation="messages", stream=stream)


class Model:
    """Answers each body as it is told, text or a whole body of its own; `asked` keeps them, `paths` where they came."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self.asked: list[dict[str, Any]] = []
        self.paths: set[str] = set()

    async def post(self, path: str, body: bytes) -> PostAnswer:
        asked = json.loads(body)
        self.asked.append(asked)
        self.paths.add(path)
        said = self.says(asked)
        if isinstance(said, PostError):
            raise said
        return PostAnswer(said if isinstance(said, bytes) else json.dumps(chat_answer(said)).encode(), 0.1)


def last_text(body: Mapping[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    assert isinstance(content, str)
    return content


class World:
    """One upstream `first` of the route `default`; time passes by hand. `found` is what went to the ledger."""

    def __init__(self, says: Says, *only: str, rows: Mapping[str, Probe] | None = None, **more: Any) -> None:
        self.now = NOON
        self.found: list[Judged] = []
        self.up = True
        self.model = Model(says)
        self.lane = self._lane(self.model)
        rows = rows or {name: row for name, row in table().items() if name in only}
        per_hour = more.pop("per_hour", 1e9)
        self.prober = Prober(
            rows,
            {name: drawing.DrawBudget(per_hour, clock=self.clock) for name in rows},
            {("default", "first"): self.lane},
            more.pop("spending", None) or CallBudget(1e9, 1e12, clock=self.clock),
            self,
            looks=drawing.DrawBudget(1e9, clock=self.clock),
            bounds=more.pop("bounds", ProbeBounds()),
            clock=self.clock,
            **more,
        )

    def _lane(self, model: Model) -> Lane:
        return Lane("first", model, is_up=lambda: self.up, clock=self.clock, draw=lambda: 0.25)

    def clock(self) -> float:
        return self.now

    def take(self, judged: Judged) -> None:
        """As a ledger does."""
        self.found.append(judged)

    async def replay(self, *samples: Judged) -> None:
        """Hand samples over and bring all that was drawn to its end."""
        for each in samples:
            self.prober.take(each)
        while self.lane.queue:
            assert await self.prober.step(self.lane) == 0.0
