"""The shapes of PromQL that panels share."""

from grafana.panels import Query

ROUTE = 'route=~"$route"'
SUBCATEGORY = 'subcategory=~"$subcategory"'
PERCENTILES = ((0.5, "p50"), (0.99, "p99"))


def rate(metric: str, by: str = "", where: str = "", window: str = "$__rate_interval") -> str:
    """Events per second, summed over the gateways, one value for each combination of the labels `by`."""
    selector = f"{metric}{{{where}}}" if where else metric
    return f"{f'sum by ({by}) ' if by else 'sum'}(rate({selector}[{window}]))"


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


def per_subcategory(metric: str) -> str:
    """A value for each sub-category and direction, without the metric's name, so that columns can be joined."""
    return f"max by (subcategory, direction) ({metric}{{{SUBCATEGORY}}})"


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
