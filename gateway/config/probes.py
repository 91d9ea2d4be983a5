"""Probes and the shadow model as settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.config.fields import Count, Positive, Share, Strict

ProbeName = Literal[
    "again", "opinion_removed", "opinion_reversed", "gender", "names", "origins", "sides", "dialect", "typos",
    "paraphrase", "trigger_removed", "cause_reversed", "cause_absent", "reason_negated", "reason_dropped",
    "feeling_removed", "culture",
]  # fmt: skip


class ShadowConfig(Strict):
    """Another model that answers some of the requests too, so that both can be judged side by side."""

    upstream: str = Field(description="Name of the upstream that serves it.")
    model: str = Field(min_length=1, max_length=200, description="Name of the model there.")
    share: Share = Field(0.5, description="Share of the calls of probes that it gets.")


class ProbesConfig(Strict):
    """Sampled requests are sent again beside the traffic, to the upstream that answered them."""

    routes: list[str] = Field(
        min_length=1,
        description="Routes of which sampled requests may be sent again; `default` where there is no other.",
    )
    only: list[ProbeName] = Field([], description="Probes to make; all when empty.")
    calls_per_hour: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="Calls in an hour at most, in all processes of a gateway."
    )
    tokens_per_hour: float = Field(
        100_000.0, ge=0, allow_inf_nan=False, description="Tokens in an hour at most, in and out."
    )
    cost_per_hour: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Money in an hour at most, in `currency`, by `prices`."
    )
    times: Annotated[int, Field(ge=1, le=10)] = Field(2, description="How often the probe `again` asks again.")
    triggers: list[str] = Field(
        [],
        description="Strings suspected to trigger a poisoned model; the probe `trigger_removed` takes them out.",
    )
    shadow: ShadowConfig | None = Field(None, description="Another model that gets some of the requests too.")
    timeout_seconds: Positive = Field(60.0, description="Longest wait for an answer.")
    waiting_items: Annotated[int, Field(ge=2)] = Field(
        256,
        description="Most requests that wait for each upstream; beyond that some are dropped by chance, and the rest "
        "weigh more.",
    )
    expiry_seconds: Positive = Field(3600.0, description="A request that waited longer is not sent again.")
    max_characters: Count = Field(20_000, description="A request with more characters is not sent again.")

    @model_validator(mode="after")
    def _can_pay(self) -> "ProbesConfig":
        if any(not text.strip() for text in self.triggers):
            raise ValueError("`triggers` has an empty string, which would be found everywhere")
        return self
