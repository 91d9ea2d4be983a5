"""What models cost, as settings."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.fields import Price, Strict, star_only_at_the_end


class PriceConfig(Strict):
    input_per_million_tokens: Price = Field(description="What a million tokens cost that a model takes in.")
    output_per_million_tokens: Price = Field(0.0, description="What a million tokens cost that it gives out.")
    cached_input_per_million_tokens: Price | None = Field(
        None, description="What a million tokens cost that it had read before; as much as others when left out."
    )


Prices = Annotated[dict[str, PriceConfig], AfterValidator(star_only_at_the_end)]  # by model
