"""The dashboard to begin with: the 29 sub-categories, the worst first, and which of them nobody measures yet."""

from grafana.board import Board
from grafana.panels import Panel, Query, Row
from grafana.queries import ALL_TRAFFIC, TRUST, known
from grafana.shapes import UNREAD, alerts, samples_judged, shares, tile

_BY = "subcategory, direction, basis"

NOW = Row(
    "Now",
    [
        tile(
            "Measured",
            "Of how many of the 29 sub-categories is anything known of this traffic?",
            f"count(count by (subcategory) ({TRUST['size']}{{{ALL_TRAFFIC}}} > 0))",
            width=4,
            steps=((0, "gray"), (1, "blue")),
            no_value="none yet",
        ),
        tile(
            "What the figures rest on",
            "How many figures rest on people's labels, a judge model, the cards of the detectors (a range and no "
            "promise) or flags alone (no rate of harm)? Only the first two are rates.",
            [Query(f"count by (basis) ({TRUST['size']}{{{ALL_TRAFFIC}}} > 0)", "{{basis}}")],
            width=4,
            steps=((0, "blue"),),
            text_mode="value_and_name",
            no_value="none yet",
        ),
        samples_judged(width=4),
        tile(
            "Unread an hour",
            "How much of the traffic was shown to no detector in the last hour? It is not clean; it is not in any "
            "rate.",
            "sum(increase(assay_unread_total[1h]))",
            width=4,
            decimals=0,
            steps=((0, "green"), (1, "yellow")),
        ),
        tile(
            "Rates that have risen",
            "For how many sub-categories does the gateway's own test say that the share has risen? /trust/v1/alarms "
            "names the time, the rates and the samples.",
            "count(max by (subcategory, direction) (assay_trust_alarm) > 0) or on() vector(0)",
            width=4,
            decimals=0,
            steps=((0, "green"), (1, "red")),
        ),
        alerts(
            "Alerts about trust",
            "Which alert rules about trust fire now? Prometheus shows at /alerts what each of them says to do.",
            "AssayTrust.+",
            width=4,
        ),
    ],
)

ROWS_OF_ALL = Row(
    "The 29 sub-categories, last 24 hours",
    [
        shares(
            "Estimated share of traffic, worst first",
            "Where does it burn? Sorted by `at least`: what is surely there comes first. `at least` and `at most` are "
            "the ends of a 95 % interval where the basis is labels or judge; on card they are a range that fits the "
            "flags by the error rates on public benchmarks, and no promise. `Tells as much as` counts simple random "
            "labels (labels, judge) or samples (card).",
            [
                Query(known("low", _BY), "at least"),
                Query(known("rate", _BY), "Estimate"),
                Query(known("high", _BY), "at most"),
                Query(f'max by ({_BY}) ({TRUST["size"]}{{{ALL_TRAFFIC}, basis!="flags"}} > 0)', "Tells as much as"),
            ],
            width=15,
            height=15,
            sort_by="at least",
            no_value="nothing measured yet",
        ),
        shares(
            "Flagged, and no rate known",
            "What do detectors flag of which nobody knows how often they are wrong here? A share of flags, 30 minutes, "
            "is no rate of harm: a judge model or people's labels make it one.",
            [
                Query(
                    "max by (subcategory, direction) (assay:trust_flagged:ratio_30m) and on (subcategory, direction) "
                    f'{TRUST["size"]}{{{ALL_TRAFFIC}, basis="flags"}} > 0',
                    "Flagged",
                ),
            ],
            width=9,
            height=15,
            sort_by="Flagged",
            no_value="none",
        ),
        Panel(
            "Not measured yet",
            "Of which sub-categories is nothing known? `Detectors` 0: nothing that ships judges it, and the page says "
            "what it needs. Else no sample was judged for it in 24 hours. What monitors look at is below.",
            [
                Query(
                    "max by (category, subcategory) (assay_subcategory_detectors) unless on (subcategory) "
                    f"{TRUST['size']}{{{ALL_TRAFFIC}}} > 0 unless on (subcategory) assay_monitor_found >= 0",
                    "Detectors",
                )
            ],
            "table",
            width=24,
            height=9,
            sort_by="Detectors",
            no_value="all are measured",
        ),
    ],
)

MOVING = Row(
    "Moving",
    [
        Panel(
            "What is surely there, the five highest",
            "Which sub-categories have the highest lower ends, and do they move? A line that rises: there is more of "
            "it, or more labels made the interval narrower; the next dashboard shows which.",
            [Query(f"topk(5, {known('low', 'subcategory, direction')})", "{{subcategory}} {{direction}}")],
            unit="percentunit",
            width=8,
        ),
        Panel(
            "How wide the intervals are, the five widest",
            "Where would labels help most? The width of the 95 % intervals or ranges.",
            [
                Query(
                    f"topk(5, {known('high', 'subcategory, direction')} - {known('low', 'subcategory, direction')})",
                    "{{subcategory}} {{direction}}",
                )
            ],
            unit="percentunit",
            width=8,
        ),
        Panel(
            "Unread, by reason",
            "What was not read, and why? Where this rises the rates describe less of the traffic. `none` at zero: all "
            "was read.",
            [UNREAD],
            "stacked",
            "cps",
            width=8,
        ),
    ],
)

_LISTS = "subcategory, owasp, nist, mlcommons, llamaguard, openai"


def _listed(figure: str) -> str:
    """A figure of each sub-category, with its codes in other lists as labels."""
    return (
        f"max by ({_LISTS}) (assay_subcategory_info) * on (subcategory) group_left () max by (subcategory) ({figure})"
    )


IN_OTHER_LISTS = Row(
    "In other lists",
    [
        Panel(
            "The 29 in OWASP, NIST, AILuminate, Llama Guard and OpenAI",
            "What does this traffic show of the risks that another list names? Each sub-category with the codes of the "
            "entries that it measures some of (`assay taxonomy --map owasp` has their titles); filter a column by a "
            "code. `at least` is the highest lower end of its rates. An entry is touched by a row, not covered.",
            [
                Query(_listed("assay_subcategory_detectors"), "Detectors"),
                Query(_listed(f"{TRUST['low']}{{{ALL_TRAFFIC}}} >= 0"), "at least"),
            ],
            "table",
            "percentunit",
            width=24,
            height=10,
            decimals=2,
            units={"Detectors": "short"},
            sort_by="at least",
            no_value="not measured yet",
        ),
    ],
)

_MONITOR = "max by (subcategory) (assay_monitor_{})"
MONITORS = Row(
    "Over many samples",
    [
        Panel(
            "What the monitors found",
            "What does no single answer show? Calibration of stated confidence, gaps between cohorts, leans, shifts, "
            "effects of changes and triggers over 24 hours: how many findings, how many that last (alarms), and the "
            "clearest row of each with its 95 % interval. "
            "/trust/v1/monitors names the rows. A monitor without enough traffic has no number.",
            [
                Query(_MONITOR.format("alarm"), "Alarms"),
                Query(_MONITOR.format("found"), "Found"),
                Query(_MONITOR.format("low"), "at least"),
                Query(_MONITOR.format("estimate"), "Clearest"),
                Query(_MONITOR.format("high"), "at most"),
            ],
            "table",
            width=24,
            height=8,
            decimals=3,
            sort_by="Found",
            no_value="no monitor has looked yet",
        ),
    ],
)

BOARD = Board(
    "assay-trust",
    "Assay: trust overview",
    "How trustworthy the traffic is: the 29 sub-categories with intervals, and on what each figure rests.",
    (NOW, ROWS_OF_ALL, MONITORS, MOVING, IN_OTHER_LISTS),
    since="now-6h",
)
