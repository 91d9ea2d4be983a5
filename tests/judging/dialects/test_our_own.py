"""Another Assay as the judge: its own answers to moderations and decisions are read as the dialects read them."""

import json

from detectors.base import Text
from gateway.judging.dialects import DIALECTS, JudgeLabel, Options
from gateway.moderation.categories import InputScores, moderation_body
from gateway.moderation.decisions import decision_body, read_questions

SCORED = InputScores({"violence": 0.93, "toxicity": 0.4, "hate": 0.1}, {"violence"}, {"violence": "encoder@3"})
TEXT = Text("I will hurt you", "prompt")


def test_its_moderations() -> None:
    dialect = DIALECTS["moderations"]
    (request,) = dialect.requests(TEXT, {"violence", "toxicity", "hate", "unsafe"}, Options("assay"))
    labels = dialect.labels(TEXT, request, moderation_body("1", "assay", [SCORED], failure=""))
    assert labels["violence"] == JudgeLabel(0.93, True)
    assert labels["toxicity"] == JudgeLabel(0.4, False)
    assert labels["unsafe"].yes


def test_its_decisions() -> None:
    """A sub-category that it cannot judge is refused, which is no opinion."""
    dialect = DIALECTS["decisions"]
    (request,) = dialect.requests(TEXT, {"violence", "hate", "misinformation"}, Options("assay"))
    answer = decision_body(read_questions(request.body), SCORED, failure="")
    assert dialect.labels(TEXT, request, answer) == {"violence": JudgeLabel(0.93, True), "hate": JudgeLabel(0.1, False)}
    assert json.loads(request.body)["model"] == "assay"
