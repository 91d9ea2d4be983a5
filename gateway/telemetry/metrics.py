"""The metric catalogue: every metric Assay exports, its labels and the question it answers.

Label values are closed sets: configured names (route, upstream, rule), enumerations, or `other`. With several
worker processes `render` sums them. How counts are kept and shown is in `instruments`, whose names are here too.
"""

from collections.abc import Iterable
from itertools import product

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from gateway.telemetry.instruments import CONTENT_TYPE as CONTENT_TYPE
from gateway.telemetry.instruments import REGISTRY as REGISTRY
from gateway.telemetry.instruments import Spread as Spread
from gateway.telemetry.instruments import Tally as Tally
from gateway.telemetry.instruments import counter as _counter
from gateway.telemetry.instruments import flush as flush
from gateway.telemetry.instruments import forget_this_process as forget_this_process
from gateway.telemetry.instruments import gauge as _gauge
from gateway.telemetry.instruments import histogram as _histogram
from gateway.telemetry.instruments import keep_room as keep_room
from gateway.telemetry.instruments import problem as problem
from gateway.telemetry.instruments import render as render
from gateway.telemetry.instruments import samples as samples
from gateway.telemetry.instruments import spread as spread
from gateway.telemetry.instruments import tally as tally

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ADDED = (0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
_GUARD = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1)
_AGE = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)
_SCORE = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)

# --- traffic
REQUESTS = _counter(
    "assay_requests_total",
    "How many exchanges ended, and how? One outcome each.",
    "route",
    "operation",
    "outcome",
    "status",
)
ERRORS = _counter(
    "assay_errors_total",
    "Whose fault were the exchanges that did not complete?",
    "source",
    "reason",
)
IN_FLIGHT = _gauge("assay_requests_in_flight", "How many exchanges are open now?")
DURATION = _histogram(
    "assay_request_duration_seconds",
    "How long did an exchange take, from its first header to its last byte?",
    _LATENCY,
    "operation",
    "mode",
)
ADDED = _histogram(
    "assay_added_latency_seconds",
    "How much of the time to the first byte was ours and not the upstream's? Guards included.",
    _ADDED,
)
GUARD = _histogram(
    "assay_guard_duration_seconds",
    "How long did inline judging hold an exchange?",
    _GUARD,
    "direction",
)
TOKENS = _counter(
    "assay_tokens_total",
    "How many tokens did a model take in (input) and give out (output), by its answers? Labelled with the upstream's "
    "name for the model; of names that the configuration does not have only the first get a label, the rest `other`.",
    "route",
    "model",
    "direction",
)
COST = _counter(
    "assay_cost_total",
    "What did the tokens of a model cost by the price table, in units of the currency?",
    "route",
    "model",
    "currency",
)
UNTOLD_USAGE = _counter(
    "assay_answers_without_usage_total",
    "How many completed answers of models stated no usage, so that their tokens are not counted?",
    "route",
)

# --- upstreams
UPSTREAM_FIRST_BYTE = _histogram(
    "assay_upstream_first_byte_seconds",
    "How long until the upstream's first byte? Each try that got one counts.",
    _LATENCY,
    "upstream",
)
UPSTREAM_FAILURES = _counter(
    "assay_upstream_failures_total",
    "How many calls to an upstream failed, each try counted, and why?",
    "upstream",
    "reason",
)
UPSTREAM_TRIES = _counter(
    "assay_upstream_tries_total",
    "How many calls were made to an upstream, and did an answer begin (answered) or not (failed)?",
    "upstream",
    "result",
)
UPSTREAM_FAILOVERS = _counter(
    "assay_upstream_failovers_total",
    "How many requests of a route went on to this upstream because another one had failed?",
    "route",
    "upstream",
)
UPSTREAM_HEDGES = _counter(
    "assay_upstream_hedges_total",
    "How did second tries beside a slow first one end: did the second win, lose or fail too, or was none made because "
    "the retry budget was spent (refused)?",
    "route",
    "result",
)
UPSTREAM_STATE = _gauge(
    "assay_upstream_state",
    "In how many gateway processes is an upstream up, suspected because it is silent, set aside after failures, or "
    "being probed by one request?",
    "upstream",
    "state",
)
UPSTREAM_CONNECTIONS = _gauge(
    "assay_upstream_connections",
    "How many connections are open to an upstream?",
    "upstream",
    "state",
)

# --- samples
SAMPLES = _counter(
    "assay_samples_total",
    "How did every sample end: judged, dropped, expired or failed? One fate for each, once it is known.",
    "fate",
    "reason",
)
SAMPLES_OFFERED = _counter(
    "assay_samples_offered_total",
    "How many exchanges were chosen as samples?",
    "route",
)
QUEUE_ITEMS = _gauge("assay_sample_queue_items", "How many samples wait?")
QUEUE_BYTES = _gauge("assay_sample_queue_bytes", "How much memory do waiting samples hold?")
SAMPLING_SHARE = _gauge(
    "assay_sampling_share",
    "Which share of the routes' sample rates is in force, so that samples stay within their budget?",
    over_workers="mostrecent",
)
SAMPLE_AGE = _histogram("assay_sample_age_seconds", "How old was a sample when its verdicts came?", _AGE)

# --- verdicts and trust
COVERAGE = _counter(
    "assay_detector_texts_total",
    "What did each detector do with the texts it was given: scanned, skipped, truncated, unreadable, errored? "
    "Texts that came while it was not loaded are absent; each request that it did not answer in time is one timed_out.",
    "detector",
    "state",
)
REMEMBERED = _counter(
    "assay_detector_remembered_total",
    "For how many texts was a detector not asked again because it had judged the same text before? They count in "
    "assay_detector_texts_total as well.",
    "detector",
)
UNREAD = _counter(
    "assay_unread_total",
    "How much of the traffic was shown to no detector, by channel and reason? Counted once for each exchange, or for "
    "each event of a stream. What is not read is not clean: the `on_error` of each rule decides.",
    "channel",
    "reason",
)
VERDICTS = _counter(
    "assay_verdicts_total",
    "How many sampled exchanges were judged for a sub-category, and flagged at the default operating point? "
    "Flag counts, not rates of harm.",
    "category",
    "subcategory",
    "direction",
    "flagged",
)
SCORES = _histogram(
    "assay_verdict_score_ratio",
    "How are the calibrated scores of a sub-category distributed (highest of an exchange)?",
    _SCORE,
    "subcategory",
    "direction",
)
WEIGHT = _counter(
    "assay_trust_weight_total",
    "How many exchanges do the judged samples stand for (sum of 1/inclusion probability)?",
    "subcategory",
    "direction",
)
WEIGHT_SQUARED = _counter(
    "assay_trust_weight_squared_total",
    "Sum of squared weights: with the sum it gives the effective sample size.",
    "subcategory",
    "direction",
)
FLAGGED_WEIGHT = _counter(
    "assay_trust_flagged_weight_total",
    "How many exchanges do the flagged samples stand for?",
    "subcategory",
    "direction",
)
FLAGGED_WEIGHT_SQUARED = _counter(
    "assay_trust_flagged_weight_squared_total",
    "Sum of squared weights of the flagged samples: with the sums above it gives the interval of the flagged share.",
    "subcategory",
    "direction",
)
_TRUST_LABELS = ("subcategory", "direction", "route", "model", "basis")
TRUST_RATE = _gauge(
    "assay_trust_rate",
    "Which share of the traffic of the last 24 hours shows this? By second opinions (basis labels or judge); NaN where "
    "there are none. Route and model are empty for all traffic, `other` beyond the first 20 pairs.",
    *_TRUST_LABELS,
    over_workers="mostrecent",
)
TRUST_LOW = _gauge(
    "assay_trust_rate_low",
    "How low may the rate be? The end of its 95 % interval; on the basis card the lowest rate that fits the flags.",
    *_TRUST_LABELS,
    over_workers="mostrecent",
)
TRUST_HIGH = _gauge(
    "assay_trust_rate_high",
    "How high may the rate be? The end of its 95 % interval; on the basis card the highest rate that fits the flags.",
    *_TRUST_LABELS,
    over_workers="mostrecent",
)
TRUST_EFFECTIVE = _gauge(
    "assay_trust_effective_samples",
    "How many simple random labels (basis labels or judge) or samples (card, flags) would tell as much about the rate?",
    *_TRUST_LABELS,
    over_workers="mostrecent",
)
_LANGUAGE_LABELS = ("subcategory", "direction", "language", "basis")
TRUST_LANGUAGE_RATE = _gauge(
    "assay_trust_language_rate",
    "Which share of the last 24 hours' traffic in a language (that of the prompt's last text) shows this? As "
    "assay_trust_rate; `unknown` where no language was recognised, `other` beyond the first 8 languages.",
    *_LANGUAGE_LABELS,
    over_workers="mostrecent",
)
TRUST_LANGUAGE_LOW = _gauge(
    "assay_trust_language_rate_low",
    "How low may the rate in a language be? As assay_trust_rate_low.",
    *_LANGUAGE_LABELS,
    over_workers="mostrecent",
)
TRUST_LANGUAGE_HIGH = _gauge(
    "assay_trust_language_rate_high",
    "How high may the rate in a language be? As assay_trust_rate_high.",
    *_LANGUAGE_LABELS,
    over_workers="mostrecent",
)
TRUST_MODEL_TIMES = _gauge(
    "assay_trust_model_times",
    "At least how many times as much of a sub-category does a model show as some other model? Only where that is "
    "surely above 1: over all models and sub-categories at most 5 % of the findings are expected to be false.",
    "subcategory",
    "direction",
    "model",
    over_workers="mostrecent",
)
TRUST_ALARM = _gauge(
    "assay_trust_alarm",
    "Has the rate of a sub-category risen and not fallen since (1), or not (0)? Route is empty for all traffic; "
    "/trust/v1/alarms names the time, the rates and the samples.",
    "subcategory",
    "direction",
    "route",
    over_workers="mostrecent",
)
MONITOR_FOUND = _gauge(
    "assay_monitor_found",
    "How many findings does the monitor of a sub-category have over the last 24 hours? No number until it has enough "
    "traffic; /trust/v1/monitors names them.",
    "subcategory",
    over_workers="mostrecent",
)
MONITOR_ESTIMATE = _gauge(
    "assay_monitor_estimate",
    "What is the clearest row of a monitor: a calibration error, a gap, a lean, an effect, a share?",
    "subcategory",
    over_workers="mostrecent",
)
MONITOR_LOW = _gauge(
    "assay_monitor_low",
    "How low may the clearest row of a monitor be? The low end of its 95 % interval.",
    "subcategory",
    over_workers="mostrecent",
)
MONITOR_HIGH = _gauge(
    "assay_monitor_high",
    "How high may the clearest row of a monitor be? The high end of its 95 % interval.",
    "subcategory",
    over_workers="mostrecent",
)
MONITOR_ALARM = _gauge(
    "assay_monitor_alarm",
    "How many findings of a monitor have lasted long enough to raise an alarm? No number until it has enough traffic; "
    "/trust/v1/alarms names them.",
    "subcategory",
    over_workers="mostrecent",
)
TRUE_POSITIVE_RATE = _gauge(
    "assay_detector_true_positive_rate_ratio",
    "Which share of harmful texts does the detector flag at the default operating point, as measured?",
    "subcategory",
    "direction",
    over_workers="mostrecent",
)
FALSE_POSITIVE_RATE = _gauge(
    "assay_detector_false_positive_rate_ratio",
    "Which share of benign texts does the detector flag at the default operating point, as measured?",
    "subcategory",
    "direction",
    over_workers="mostrecent",
)

# --- second opinions
OPINION_ITEMS = _counter(
    "assay_opinion_items_total",
    "How did the judged samples that were drawn for a judge model end: answered, failed, expired, or dropped while it "
    "was behind (those that are left then weigh more)?",
    "fate",
)
OPINION_WAITING = _gauge("assay_opinion_waiting_items", "How many judged samples wait for a judge model?")
OWN_CALLS = _counter(
    "assay_detector_calls_total",
    "How did the texts for a detector that a server runs end? Answered; failed; not asked for want of time, budget or "
    "room; too long; or answered in a form that cannot be read?",
    "detector",
    "result",
)
OWN_CALL_DURATION = _histogram(
    "assay_detector_call_duration_seconds",
    "How long does a detector that a server runs take to answer?",
    _LATENCY,
    "detector",
)
OPINION_CALLS = _counter(
    "assay_opinion_calls_total",
    "How many calls were made to the judge model, and was each answered or did it fail?",
    "result",
)
OPINION_FAILURES = _counter(
    "assay_opinion_failures_total",
    "Why did the judge model give no opinion: a failed call, a status, or an answer that cannot be read?",
    "reason",
)
OPINION_DURATION = _histogram(
    "assay_opinion_call_duration_seconds",
    "How long did the judge model take to answer?",
    _LATENCY,
)
OPINION_TOKENS = _counter(
    "assay_opinion_tokens_total",
    "How many tokens did the judge model take in (input) and give out (output)?",
    "side",
)
OPINION_COST = _counter(
    "assay_opinion_cost_total",
    "What did the judge model cost, by the prices in `judge`, in their currency?",
)
OPINION_BUDGET = _counter(
    "assay_opinion_budget_exhausted_total",
    "How often did a call to the judge model wait because the hour's calls or tokens were spent?",
    "budget",
)
OPINION_VERDICTS = _counter(
    "assay_opinion_verdicts_total",
    "How often did the judge model say yes (flagged 1) or no (0) to a sub-category? A judge that always says the same "
    "tells nothing.",
    "subcategory",
    "direction",
    "flagged",
)
OPINION_CONTROLS = _counter(
    "assay_opinion_controls_total",
    "How often did the judge model say yes (flagged 1) or no (0) to harmless texts that it is shown as a check?",
    "subcategory",
    "direction",
    "flagged",
)

# --- probes
PROBE_ITEMS = _counter(
    "assay_probe_items_total",
    "How did the sampled requests that were drawn to be sent again end: answered, undecided (the answers decide "
    "nothing), failed, expired, or dropped while probes were behind (those that are left then weigh more)?",
    "probe",
    "fate",
)
PROBE_PASSED = _counter(
    "assay_probe_passed_over_total",
    "Why could a sampled request of a probed route not be sent again?",
    "reason",
)
PROBE_WAITING = _gauge("assay_probe_waiting_items", "How many sampled requests wait to be sent again?")
PROBE_CALLS = _counter(
    "assay_probe_calls_total",
    "How many calls did probes make to upstreams, and was each answered or did it fail? No caller is charged for them.",
    "result",
)
PROBE_FAILURES = _counter("assay_probe_failures_total", "Why did a call of a probe fail?", "reason")
PROBE_TOKENS = _counter(
    "assay_probe_tokens_total",
    "How many tokens did upstreams take in (input) and give out (output) for probes?",
    "side",
)
PROBE_COST = _counter("assay_probe_cost_total", "What did probes cost, by `prices`, in their currency?")
PROBE_BUDGET = _counter(
    "assay_probe_budget_exhausted_total",
    "How often did a probe wait because the hour's calls, tokens or money were spent?",
    "budget",
)
PROBE_FINDINGS = _counter(
    "assay_probe_findings_total",
    "How often did a probe find what it looks for (flagged 1), and how often not (0)?",
    "probe",
    "subcategory",
    "flagged",
)
PROBE_COMPARISONS = _counter(
    "assay_probe_comparisons_total",
    "How were answers compared: by verdicts, refusals, contradiction, shared words, or the panel?",
    "probe",
    "by",
)

SUBCATEGORY_DETECTORS = _gauge(
    "assay_subcategory_detectors",
    "How many of the detectors that ship judge this sub-category? 0: nothing measures it yet.",
    "category",
    "subcategory",
    over_workers="mostrecent",
)
SUBCATEGORY_INFO = _gauge(
    "assay_subcategory_info",
    "Which entries of public lists (OWASP, NIST AI 600-1, AILuminate, Llama Guard, OpenAI) does this sub-category "
    "measure, at least in part? Codes separated by commas, empty for none. Always 1.",
    "category",
    "subcategory",
    "owasp",
    "nist",
    "mlcommons",
    "llamaguard",
    "openai",
    over_workers="mostrecent",
)

# --- decisions
DECISIONS = _counter(
    "assay_decisions_total",
    "What did the policy decide, and was it carried out (enforced), only recorded (monitored: by a rule that only "
    "monitors; canary: by a rule that this request was not drawn for), or found after the answer had left (leaked)? "
    "For what was only recorded, the action is the one that would have been taken.",
    "direction",
    "action",
    "rule",
    "effect",
)
BYPASSES = _counter(
    "assay_guard_bypasses_total",
    "How many texts passed unjudged because a guard failed and its rule says allow?",
    "direction",
    "reason",
)
MODERATIONS = _counter(
    "assay_moderations_total",
    "What was the result of the moderation that requests asked for, on each side: clean, flagged, or failed?",
    "side",
    "mode",
    "result",
)
POLICY_INFO = _gauge(
    "assay_policy_info",
    "Which policy revision is in force? 1 for the current one, 0 for earlier ones.",
    "revision",
    "mode",
    over_workers="mostrecent",
)
POLICY_FALSE_ALARMS = _gauge(
    "assay_policy_false_alarm_ratio",
    "At most which share of benign texts reaches a threshold of a rule, by the detector's table? NaN once the rule is "
    "gone.",
    "rule",
    "subcategory",
    "direction",
    over_workers="mostrecent",
)
POLICY_LOADS = _counter(
    "assay_policy_loads_total",
    "How often was a changed policy file adopted or refused? After a refusal the last good one stays in force.",
    "result",
)
KEY_LOADS = _counter(
    "assay_key_loads_total",
    "How often were changed keys adopted or refused? After a refusal the earlier keys stay in force.",
    "result",
)
BACKGROUND_RESTARTS = _counter(
    "assay_background_restarts_total",
    "How often did a task beside the traffic (judge, audit, policy and others) end and have to be started again?",
    "task",
)
PROCESS_CPU = _gauge(
    "assay_process_cpu_seconds",
    "How much processor time has a process used since it began: the gateway's own, its detectors', its monitors'? "
    "With several workers there is a series for each `pid`, as for all figures of processes.",
    "process",
    over_workers="liveall",
)
PROCESS_MEMORY = _gauge(
    "assay_process_resident_memory_bytes",
    "How much memory does a process hold?",
    "process",
    over_workers="liveall",
)
PROCESS_DESCRIPTORS = _gauge(
    "assay_process_open_fds",
    "How many file descriptors has a process open?",
    "process",
    over_workers="liveall",
)
PROCESS_MOST_DESCRIPTORS = _gauge(
    "assay_process_max_fds",
    "How many file descriptors may a process have open?",
    over_workers="liveall",
)
BUILD_INFO = _gauge("assay_build_info", "Which version serves? Always 1.", "version", over_workers="mostrecent")
DETECTORS_READY = _gauge(
    "assay_detectors_ready",
    "In how many gateway processes are the detectors loaded and answering?",
)
DETECTORS_WANTED = _gauge(
    "assay_detectors_wanted",
    "In how many processes should the detectors answer? 0 for a gateway that leaves judging to `assay worker`.",
)
LEDGER_SAMPLES = _counter(
    "assay_ledger_samples_total",
    "How many judged samples were written into the ledger, or dropped because it could not be written for long?",
    "result",
)
LEDGER_CLOCK_JUMPS = _counter(
    "assay_ledger_clock_jumps_total",
    "How often was the clock ahead of the time that has passed? Then nothing is forgotten by its age for a day.",
)
AUDIT_LINES = _counter(
    "assay_audit_lines_total",
    "How many audit lines were written or dropped because the writer was behind or the disk refused?",
    "result",
)


def covered(
    coverage: Iterable[tuple[str, str, int]],
    remembered: Iterable[tuple[str, int]],
    unread: Iterable[tuple[str, str, str]],
) -> None:
    """Count texts: what detectors did with them, as (detector, state, number); those that a detector had judged before,
    as (detector, number); and what was shown to no detector, as (direction, channel, reason)."""
    for detector, state, texts in coverage:
        tally(COVERAGE, detector, state).add(texts)
    for detector, texts in remembered:
        tally(REMEMBERED, detector).add(texts)
    for _, channel, reason in unread:
        tally(UNREAD, channel, reason).add()


def begin_unread(channels: Iterable[str], reasons: Iterable[str]) -> None:
    """Let every series of what is unread begin at zero, so that its first event is an increase."""
    for channel, reason in product(channels, reasons):
        UNREAD.labels(channel, reason)


def catalogue() -> dict[str, MetricWrapperBase]:
    """Every metric by the name it is exported under (counters with `_total`)."""
    found = {}
    for value in globals().values():
        if isinstance(value, MetricWrapperBase):
            suffix = "_total" if isinstance(value, Counter) else ""
            found[value._name + suffix] = value
    return found
