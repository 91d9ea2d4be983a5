"""The judge model as settings."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from gateway.config.fields import Count, JudgeDialect, Key, Positive, Strict, Url, are_slugs, has_one_place


class JudgeConfig(Strict):
    """The judge model that second opinions are asked of. Texts go to this upstream and to no other."""

    upstream: str | None = Field(None, description="Name of the upstream that serves the judge model.")
    url: Url | None = Field(None, description="In place of `upstream`, a base URL with its `/v1`.")
    key: Key | None = Field(None, description="Key for `url`.")
    model: str = Field(min_length=1, max_length=200, description="Name of the judge model there.")
    dialect: JudgeDialect | None = Field(
        None, description="How it is asked and answers. Left out, the model's name decides, else it is `questions`."
    )
    instructions: str = Field("", description="In place of the dialect's own words to the model.")
    questions: dict[str, str] = Field({}, description="Sub-category → how it is put to the model.")
    extra: dict[str, Any] = Field({}, description="Fields for the body of each request; null takes one away.")
    subcategories: list[str] = Field(
        [],
        description="Sub-categories to ask about, also those that no detector judges; when empty all that a detector "
        "judges and on which the dialect has an opinion.",
    )
    calls_per_hour: Positive = Field(600.0, description="Calls in an hour at most, in all processes of a gateway.")
    tokens_per_hour: Positive = Field(500_000.0, description="Tokens in an hour at most, in and out.")
    price_per_million_input_tokens: float = Field(0.0, ge=0, description="For the cost that is shown.")
    price_per_million_output_tokens: float = Field(0.0, ge=0, description="For the cost that is shown.")
    timeout_seconds: Positive = Field(30.0, description="Longest wait for an answer.")
    retries: int = Field(2, ge=0, le=10, description="Further tries after a failure that may pass.")
    waiting_items: Annotated[int, Field(ge=2)] = Field(
        256, description="Most samples that wait; beyond that some are dropped by chance, and the rest weigh more."
    )
    expiry_seconds: Positive = Field(3600.0, description="A sample that waited longer is not shown to the judge.")
    max_characters: Count = Field(
        20_000, description="A text that is longer is not shown to the judge: half a text is no basis for an opinion."
    )

    @field_validator("subcategories", "questions")
    @classmethod
    def _are_known(cls, named: Any) -> Any:
        return are_slugs(named)

    @model_validator(mode="after")
    def _has_one_place(self) -> "JudgeConfig":
        has_one_place(self.upstream, self.url, self.key)
        return self
