"""What the monitors found, in the form that the page and the gauges show."""

from typing import Any

import msgspec

SUBCATEGORIES = (
    "miscalibration", "disparate_performance", "preference_bias", "cultural_insensitivity", "distribution_shift",
    "interventional_effect", "poisoning_attacks",
)  # fmt: skip
Row = dict[str, Any]


class Report(msgspec.Struct):
    """What the monitor of one sub-category found: its rows, the clearest first; how many of them are findings; and what
    evidence is missing where there are no rows. `headline` is (estimate, low, high) of the first row, if it has these.
    `alarms` are the findings that last (`gateway.monitoring.alarms`)."""

    subcategory: str
    rows: list[Row] = []
    found: int = 0
    missing: str = ""
    headline: tuple[float, float, float] | None = None
    alarms: list[Row] = []


class LookReports(msgspec.Struct):
    """The reports of a look at Unix seconds `at`; `seen` is the store's mark (`Store.written`) at that time."""

    at: float
    seen: int
    reports: list[Report]
