"""The operator's own detectors as settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from detectors.base import Role
from gateway.config.fields import Count, JudgeDialect, Key, Positive, Share, Strict, Url, has_one_place

Roles = Annotated[list[Role], Field(min_length=1)]


class _OwnConfig(Strict):
    roles: Roles = Field(["prompt", "response"], description="The sides of an exchange that it judges.")
    source: str = Field("", max_length=500, description="Where it comes from, for its card.")


class ClassifierConfig(_OwnConfig):
    """An ONNX text classifier. `labels` names each output of the model, in order."""

    kind: Literal["classifier"]
    model: Path = Field(description="The ONNX file.")
    tokenizer: Path = Field(description="Its tokenizer.json.")
    labels: dict[str, str | None] = Field(
        min_length=1,
        max_length=1000,
        description="Each output of the model in its order: label → sub-category, or null for one that does not count.",
    )
    activation: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="`sigmoid` where several labels may hold at once, `softmax` where exactly one does."
    )
    max_tokens: Annotated[int, Field(ge=16, le=8192)] | None = Field(
        None, description="Tokens of a window; as many as tokenizer.json says, else 512, when left out."
    )
    overlap_tokens: int = Field(32, ge=0, le=2048, description="Tokens that neighbouring windows share.")
    most_windows: Count = Field(16, le=256, description="Windows of a text that are read; the rest is `truncated`.")
    flag_score: Share = Field(0.5, description="Score from which a text is flagged until a table was measured.")


class WordsConfig(_OwnConfig):
    """A file with one word or phrase a line."""

    kind: Literal["words"]
    file: Path = Field(description="UTF-8, one word or phrase a line; lines that begin with `#` are comments.")
    subcategory: str = Field(description="The sub-category that a find counts for.")
    label: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_]{0,39}$", description="What finds are called; the detector's name when left out."
    )


class GuardConfig(_OwnConfig):
    """A guard that a server runs. Texts go to this server."""

    kind: Literal["guard"]
    upstream: str | None = Field(None, description="Name of the upstream that serves the guard.")
    url: Url | None = Field(None, description="In place of `upstream`, a base URL with its `/v1`.")
    key: Key | None = Field(None, description="Key for `url`.")
    model: str = Field(min_length=1, max_length=200, description="Name of the model there.")
    dialect: JudgeDialect | None = Field(None, description="How it is asked and answers; else the model's name says.")
    instructions: str = Field("", description="In place of the dialect's own words to the model.")
    questions: dict[str, str] = Field({}, description="Sub-category → how it is put to the model.")
    extra: dict[str, Any] = Field({}, description="Fields for the body of each request; null takes one away.")
    subcategories: list[str] = Field(
        [], description="Sub-categories to ask about; all that it can speak of when empty."
    )
    flag_score: Share = Field(0.5, description="Score from which a text is flagged until a table was measured.")
    timeout_seconds: Positive = Field(5.0, description="Longest wait for an answer on the side path.")
    calls_per_hour: Positive = Field(36_000.0, description="Calls in an hour at most, in each process that judges.")
    tokens_per_hour: Positive = Field(36_000_000.0, description="Tokens in an hour at most, in and out.")
    at_once: Count = Field(16, le=1024, description="Calls under way at once; the server batches them.")
    waiting_texts: Count = Field(1000, description="Texts that wait for a call at most; those beyond are not judged.")
    remembered_bytes: int = Field(8 * 2**20, ge=0, description="Bytes of answers that are kept for the same text.")
    max_characters: Count = Field(20_000, description="A text that is longer is not shown to the guard.")

    @model_validator(mode="after")
    def _has_one_place(self) -> "GuardConfig":
        has_one_place(self.upstream, self.url, self.key)
        return self


OwnConfig = Annotated[ClassifierConfig | WordsConfig | GuardConfig, Field(discriminator="kind")]
KINDS: Mapping[str, type[Strict]] = {"classifier": ClassifierConfig, "words": WordsConfig, "guard": GuardConfig}
# The two forms of `detectors`, as pydantic names them in the place of an error.
SWITCH, BY_NAME = "detectors on or off", "detectors by name"
DetectorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Detectors = Annotated[
    Annotated[bool, Tag(SWITCH)] | Annotated[dict[DetectorName, OwnConfig], Tag(BY_NAME)],
    Discriminator(lambda given: BY_NAME if isinstance(given, dict) else SWITCH),
]
