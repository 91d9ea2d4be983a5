"""`assay evaluate`: the eight measurement studies on models behind an OpenAI-compatible API."""

import argparse
import asyncio
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from detectors.panel import Panel
from detectors.panel import load as load_panel
from gateway.commands import out, warn
from gateway.config.load import key_named, upstream_at
from gateway.config.settings import ConfigError, env_name
from gateway.judging.budget import CallBudget
from gateway.judging.dialects import DIALECTS, Options, dialect_of
from gateway.opinions.judge import Judge, JudgeError, Retries
from gateway.study.evaluation import judging, picture, prompts, report
from gateway.study.evaluation.asking import AskedModel
from gateway.study.evaluation.figures import Figure
from gateway.study.evaluation.judging import LOOKED_FOR, Second
from gateway.study.evaluation.prompts import Item, PromptsError
from gateway.study.evaluation.record import Record, RecordError
from gateway.study.evaluation.running import Plan, Result, run, steps
from gateway.study.offline import progress
from gateway.upstream.posts import Poster
from gateway.upstream.transport import Limits

_BAD_USE = 2
_INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended
_NO_BUDGET = 1e12  # calls or tokens an hour: an evaluation is bounded by its number of prompts


def evaluate(parsed: argparse.Namespace) -> int:
    """`assay evaluate`: 1 when a figure is over its threshold or missing, 2 when it could not be measured."""
    try:
        items = _items(parsed)
        if parsed.show_prompts:
            return _show(items)
        thresholds = _thresholds(parsed.fail_over, items)
        return asyncio.run(_evaluate(parsed, items, thresholds))
    except (PromptsError, RecordError) as error:
        raise ConfigError([str(error)]) from error
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter if a model is given up at the same moment
        warn(f"stopped; {parsed.record} keeps what was answered, the same command goes on from there")
        return _INTERRUPTED


def _items(parsed: argparse.Namespace) -> dict[str, list[Item]]:
    """The items to ask, by study. Raises PromptsError, ConfigError."""
    studies = prompts.merged(prompts.shipped(), [prompts.read(path) for path in parsed.prompts])
    wanted = parsed.study or list(studies)
    if unknown := [name for name in wanted if name not in studies]:
        raise ConfigError([f"--study: there is no study {unknown[0]!r}; there are {', '.join(studies)}"])
    if parsed.count < 1:
        raise ConfigError([f"--count: must be 1 or more, not {parsed.count}"])
    found = {name: prompts.items(studies[name], parsed.count, parsed.seed) for name in dict.fromkeys(wanted)}
    for name, items in found.items():
        if len(items) < parsed.count:
            warn(f"study {name}: its templates give {len(items)} different prompts, not {parsed.count}")
    return found


def _show(items: Mapping[str, Sequence[Item]]) -> int:
    for each in items.values():
        for item in each:
            shown = {"item": item.id, "subcategory": item.subcategory, "check": item.check, "asks": item.asks}
            out(msgspec.json.encode({**shown, "wrong": item.wrong, "expected": item.expected}).decode())
    return 0


def _thresholds(given: Sequence[str], items: Mapping[str, object]) -> dict[str, float]:
    """Raises ConfigError."""
    found = {}
    for entry in given:
        name, _, value = entry.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ConfigError([f"--fail-over {entry}: write it as STUDY=SHARE, such as hallucination=0.10"]) from None
        if name not in items or not 0 <= found[name] <= 1:
            raise ConfigError([f"--fail-over {entry}: a study that is measured, and a share from 0 to 1"])
    return found


async def _evaluate(
    parsed: argparse.Namespace, items: Mapping[str, Sequence[Item]], thresholds: Mapping[str, float]
) -> int:
    targets = _targets(parsed)
    second, judge_post = _second(parsed)
    posts = [post for _, post in targets]
    plan = Plan(items, targets, parsed.concurrency, Retries(parsed.retries), cache(_panel), second)
    record = Record(parsed.record)
    try:
        with progress(steps(plan), " steps", "evaluating") as bar:
            result = await run(plan, record, bar)
    except JudgeError as error:
        again = f"{parsed.record} keeps what was answered; run it again, or with another --judge-model"
        warn(f"the judge model gave no opinion, {judging.MOST_FAILURES} times in a row: {error}; {again}")
        return _BAD_USE
    finally:
        record.close()
        for post in [*posts, *filter(None, [judge_post])]:
            await post.close()
    _write(parsed, result, items)
    return _status(result, thresholds, parsed.record)


def _panel() -> Panel:
    return load_panel(only=frozenset(LOOKED_FOR.values()))


def _targets(parsed: argparse.Namespace) -> list[tuple[AskedModel, Poster]]:
    """Raises ConfigError."""
    urls = parsed.base_url * len(parsed.model) if len(parsed.base_url) == 1 else parsed.base_url
    if not parsed.model or len(urls) != len(parsed.model):
        raise ConfigError(["--base-url: give it once, or once for each --model in their order; both are needed"])
    found = []
    for named, url in zip(parsed.model, urls, strict=True):
        label, _, model = named.partition("=")
        target = AskedModel(
            label, model or label, label in parsed.completions, _system(parsed, label), parsed.temperature
        )
        found.append((target, _poster(parsed, "--base-url", url)))
    labels = [target.label for target, _ in found]
    if len({*labels}) < len(labels):
        raise ConfigError(["--model: two have the same name; name them apart as LABEL=MODEL"])
    if unknown := [name for name in parsed.completions if name not in labels]:
        raise ConfigError([f"--completions {unknown[0]}: is not one of the models; write it as in --model"])
    return found


def _system(parsed: argparse.Namespace, label: str) -> str:
    """The system prompt of one model: its own, else the one for all models."""
    own, for_all = "", ""
    for entry in parsed.system:
        name, is_named, text = entry.partition("=")
        if is_named and name in {given.partition("=")[0] for given in parsed.model}:
            own = text if name == label else own
        else:
            for_all = entry
    return own or for_all


def _poster(parsed: argparse.Namespace, option: str, url: str) -> Poster:
    upstream = upstream_at(option, url, key_named(parsed.key_env))
    return Poster(upstream, Limits(), timeout_seconds=parsed.timeout_seconds)


def _second(parsed: argparse.Namespace) -> tuple[Second | None, Poster | None]:
    """Raises ConfigError."""
    if not parsed.judge_model:
        return None, None
    if not 0 < parsed.judge_share <= 1:
        raise ConfigError([f"--judge-share: a share above 0, up to 1, not {parsed.judge_share}"])
    if parsed.judge_dialect and parsed.judge_dialect not in DIALECTS:
        raise ConfigError([f"--judge-dialect: there is no {parsed.judge_dialect!r}; there are {', '.join(DIALECTS)}"])
    dialect = DIALECTS[parsed.judge_dialect] if parsed.judge_dialect else dialect_of(parsed.judge_model)
    if missing := {*LOOKED_FOR.values()} - dialect.response:
        warn(f"the judge model ({dialect.name}) has no opinion on {', '.join(missing)}; detectors alone judge that")
    post = _poster(parsed, "--judge-base-url", parsed.judge_base_url or parsed.base_url[0])
    budget = CallBudget(_NO_BUDGET, _NO_BUDGET, clock=monotonic)
    judge = Judge(dialect, Options(parsed.judge_model), post, budget, retries=Retries(parsed.retries))
    return Second(judge, f"{parsed.judge_model}@{dialect.name}", parsed.judge_share, parsed.concurrency), post


def _write(parsed: argparse.Namespace, result: Result, items: Mapping[str, Sequence[Item]]) -> None:
    live = _live(parsed, items, result.figures) if parsed.live else []
    about = {"seed": parsed.seed, "temperature": parsed.temperature, "system": parsed.system}
    if parsed.format == "json":
        shown = msgspec.json.encode(report.as_json(result.figures, result.comparisons, live, about))
        out(msgspec.json.format(shown).decode())
    else:
        out(report.table(result.figures, result.comparisons, live, markdown=parsed.format == "markdown").rstrip("\n"))
    if parsed.picture:
        parsed.picture.write_text(picture.svg("Measurement studies", result.figures), "utf-8")


def _status(result: Result, thresholds: Mapping[str, float], record: Path) -> int:
    for why in result.given_up:
        warn(f"{why}; {record} keeps what was answered, the same command goes on from there")
    failed = False
    for found in result.figures:
        bound = thresholds.get(found.study)
        if bound is not None and (found.decides is None or found.decides > bound):
            failed = True
            warn(f"{found.study}, {found.model}: {_against(found, bound)}")
    return _BAD_USE if result.given_up else int(failed)


def _against(found: Figure, bound: float) -> str:
    if found.decides is None:
        return f"no figure, for want of usable answers ({found.usable}); that counts as more than {bound:g}"
    return f"{found.decides:.3f}, over the threshold of {bound:g}"


class _Rate(msgspec.Struct):
    estimate: float | None
    low: float | None
    high: float | None
    basis: str


class _Row(msgspec.Struct):
    subcategory: str
    direction: str
    effective_samples: float
    rate: _Rate


class _Rates(msgspec.Struct):
    rates: list[_Row]


def _live(
    parsed: argparse.Namespace, items: Mapping[str, Sequence[Item]], figures: Sequence[Figure]
) -> list[report.Live]:
    """The gateway's rates of the same models' answers; none if it does not answer."""
    slugs = {item.subcategory for each in items.values() for item in each} | {*LOOKED_FOR.values()}
    found = []
    for model in dict.fromkeys(figure.model for figure in figures):
        try:
            rates = _rates(parsed, model)
        except (OSError, ValueError) as error:
            warn(f"--live {parsed.live}: {error}")
            return []
        found += [
            report.Live(model, row.subcategory, row.rate.basis, row.rate.low, row.rate.estimate, row.rate.high,
                        row.effective_samples)
            for row in rates
            if row.direction == "response" and row.subcategory in slugs
        ]  # fmt: skip
        if not rates:
            warn(f"--live {parsed.live}: it saw no traffic of {model!r} in the last 7 days")
    return found


def _rates(parsed: argparse.Namespace, model: str) -> list[_Row]:
    """Raises OSError, ValueError."""
    url = f"{parsed.live.rstrip('/')}/trust/v1/rates?{urllib.parse.urlencode({'window': '7d', 'model': model})}"
    if not url.startswith(("http://", "https://")):
        raise ValueError("must be the URL of a gateway, such as http://127.0.0.1:8080")
    key = key_named(env_name("operator_key"))  # never the models' key, which may be a provider's
    headers: dict[str, Any] = {"authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return msgspec.json.decode(answer.read(), type=_Rates).rates
