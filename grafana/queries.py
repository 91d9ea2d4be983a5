"""The shapes of PromQL that panels share."""

from grafana.panels import Query

ROUTE = 'route=~"$route"'
SUBCATEGORY = 'subcategory=~"$subcategory"'
MODEL = 'model=~"$model", model!=""'
# The estimates of gateway/trust, in which a figure that is not known is NaN. Route and model are empty for all traffic.
ALL_TRAFFIC = 'route="", model=""'
TRUST = {
    "rate": "assay_trust_rate",
    "low": "assay_trust_rate_low",
    "high": "assay_trust_rate_high",
    "size": "assay_trust_effective_samples",
}
PERCENTILES = ((0.5, "p50"), (0.99, "p99"))


def rate(metric: str, by: str = "", where: str = "", window: str = "$__rate_interval") -> str:
    """Events per second, summed over the gateways, one value for each combination of the labels `by`."""
    selector = f"{metric}{{{where}}}" if where else metric
    return f"{f'sum by ({by}) ' if by else 'sum'}(rate({selector}[{window}]))"


def counted(metric: str, by: str, where: str = "", *, none: str = "", prefix: str = "") -> Query:
    """Events per second, a line for each combination of the labels `by`, named by their values.

    With `none`, lines without a single event in what is shown are left out, for most of a closed set of labels stay at
    zero; where all do, this label says `none`.
    """
    expr = rate(metric, by, where)
    legend = prefix + " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    if not none:
        return Query(expr, legend)
    selector = f"{metric}{{{where}}}" if where else metric
    return Query(or_none(f"{expr} and sum by ({by}) (increase({selector}[$__range])) > 0", none), legend)


def percentiles(histogram: str, by: str = "", window: str = "$__rate_interval") -> list[Query]:
    """p50 and p99 of a histogram, one line for each value of the label `by`."""
    group = f"le, {by}" if by else "le"
    return [
        Query(
            f"histogram_quantile({q}, {rate(histogram + '_bucket', group, window=window)})",
            f"{name} {{{{{by}}}}}" if by else name,
        )
        for q, name in PERCENTILES
    ]


def buckets(histogram: str, where: str = "") -> list[Query]:
    """What a heatmap draws."""
    selector = f"{histogram}_bucket" + (f"{{{where}}}" if where else "")
    return [Query(f"sum by (le) (increase({selector}[$__rate_interval]))", "{{le}}")]


def or_none(expr: str, label: str) -> str:
    """A line `none` at zero while nothing has happened, drawn only as long as a gateway reports at all."""
    return f'{expr} or on() label_replace(0 * sum(assay_build_info), "{label}", "none", "", "")'


def share(part: str, whole: str) -> str:
    """`part` of `whole`: zero when the part has no series yet, nothing when the whole is zero."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def estimate(name: str) -> list[Query]:
    """The estimate `assay:trust_<name>` and its bounds, a line and a band for each direction."""
    return [
        Query(f'max(assay:trust_{name}{bound}:ratio_30m{{{SUBCATEGORY}, direction="{direction}"}})', legend)
        for direction in ("prompt", "response")
        for bound, legend in (
            ("", direction),
            ("_upper", f"{direction} at most"),
            ("_lower", f"{direction} at least"),
        )
    ]


def known(figure: str, by: str, where: str = ALL_TRAFFIC) -> str:
    """A figure of TRUST by these labels; nothing, not NaN, where it is not known."""
    return f"max by ({by}) ({TRUST[figure]}{{{where}}} >= 0)"


def columns_of(where: str, by: str) -> list[Query]:
    """The figures of TRUST as columns of a table."""
    return [
        Query(known("low", by, where), "at least"),
        Query(known("rate", by, where), "Estimate"),
        Query(known("high", by, where), "at most"),
        Query(f"max by ({by}) ({TRUST['size']}{{{where}}} > 0)", "Tells as much as"),
    ]


def languages(where: str) -> list[Query]:
    """The figures of each language as columns of a table."""
    by = "language, direction, basis"
    return [
        Query(f"max by ({by}) (assay_trust_language_rate{end}{{{where}}} >= 0)", legend)
        for end, legend in (("_low", "at least"), ("", "Estimate"), ("_high", "at most"))
    ]


def trust_band() -> list[Query]:
    """The rate of all traffic and its bounds, a line and a band for each direction."""
    return [
        Query(f'max({TRUST[figure]}{{{ALL_TRAFFIC}, {SUBCATEGORY}, direction="{direction}"}} >= 0)', legend)
        for direction in ("prompt", "response")
        for figure, legend in (
            ("rate", direction),
            ("high", f"{direction} at most"),
            ("low", f"{direction} at least"),
        )
    ]
