"""What a monitor found, as the page and the gauges show it."""

from typing import Any

import msgspec

SUBCATEGORIES = (
    "miscalibration", "disparate_performance", "preference_bias", "cultural_insensitivity", "distribution_shift",
    "interventional_effect", "poisoning_attacks",
)  # fmt: skip
Row = dict[str, Any]


class Report(msgspec.Struct):
    """Of one sub-category: its rows, the clearest first, how many were found, and what is missing where there are
    none. `headline` is (estimate, low, high) of its first row, None where it has none; `alarms` are the findings that
    last (`gateway.monitoring.alarms`)."""

    subcategory: str
    rows: list[Row] = []
    found: int = 0
    missing: str = ""
    headline: tuple[float, float, float] | None = None
    alarms: list[Row] = []


class Findings(msgspec.Struct):
    """What a look found at Unix seconds `at`, over what had been written up to the mark `seen`."""

    at: float
    seen: int
    reports: list[Report]
