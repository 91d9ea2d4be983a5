"""`assay review`: label drawn samples, or answers of `assay evaluate`, in the terminal, one key for each label."""

import argparse
import asyncio
import atexit
import getpass
import sys
import termios
import textwrap
import time
import tty
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectors import taxonomy
from gateway.commands import out
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.opinions.labelling import HARMS, Filters, LabelError, Review, SampleToLabel, labels_of, may_be_labelled
from gateway.study.evaluation import labelling
from gateway.study.evaluation.record import Record, RecordError
from gateway.trust.ledger import Entry, Ledger, LedgerError
from gateway.trust.stores.opening import open_ledger

_BAD_USE = 2
_WIDTH = 100
_MOST_LINES = 30  # of a text
_KEYS = {"y": True, "n": False, "s": None, " ": None}
_WORDS = "y yes · n no · s skip this question · i skip the item · q quit"
_DEFINITIONS = {entry.slug: entry.definition for entry in taxonomy.SUBCATEGORIES} | dict(taxonomy.AUXILIARIES)
_END = ("q", "\x03", "\x04", "")  # q, Ctrl-C, Ctrl-D, end of input


class _QuitError(Exception):
    """The reviewer wants to stop."""


class _SkipItemError(Exception):
    """The reviewer leaves this item to others."""


def review(parsed: argparse.Namespace) -> int:
    """`assay review`. Raises ConfigError."""
    by = parsed.by or getpass.getuser()
    if parsed.evaluation:
        chosen = {"--only": parsed.only, "--route": parsed.route, "--flagged": parsed.flagged}
        if given := [option for option, value in chosen.items() if value]:
            raise ConfigError([f"{given[0]}: not with --evaluation, whose labels must be of a fair sample"])
        return _review_answers(parsed.evaluation, by, parsed.model)
    config = load(path=parsed.config)
    ledger = shared_ledger(config)
    only = tuple(parsed.only.split(",")) if parsed.only else ()
    if unknown := [slug for slug in only if slug not in _DEFINITIONS]:
        raise ConfigError([f"--only: there is no sub-category {unknown[0]!r}; `assay taxonomy` lists them"])
    filters = Filters(route=parsed.route, model=parsed.model, flagged=True if parsed.flagged else None)
    desk = Review(ledger, _now)
    try:
        return asyncio.run(Session(desk, by, only, filters, keys(), out).run(ledger))
    except (LedgerError, LabelError) as error:
        sys.stderr.write(f"assay: {error}\n")
        return _BAD_USE


def _review_answers(path: Path, by: str, model: str | None) -> int:
    try:
        if not path.exists():
            raise ConfigError([f"--evaluation: there is no {path}; `assay evaluate --record {path}` writes it"])
        record = Record(path)
        try:
            label_answers(record, by, model, keys(), out)
        finally:
            record.close()
    except (RecordError, OSError) as error:
        raise ConfigError([str(error)]) from error
    return 0


def label_answers(
    record: Record, by: str, model: str | None, key: Callable[[], str], say: Callable[[str], None]
) -> None:
    """Show answer after answer until each has this person's label or the person stops. Which model it is of is not
    shown, because that would influence the person. Raises OSError."""
    waiting = labelling.to_label(record.all_judged(), by, model)
    say(f"Reviewing as {by}; {len(waiting)} answers have no label of yours. Keys: {_WORDS}.")
    count = skipped = 0
    try:
        for judged in waiting:
            say("\n" + "─" * _WIDTH)
            for side, text in (("prompt", judged.prompt), ("response", judged.text)):
                say(f"\n[{side}]\n" + "\n".join(_lines(text)))
            try:
                value = _ask("response", labelling.asked_of(judged), key, say)
            except _SkipItemError:
                value = None
            if value is not None:
                record.add(labelling.labelled(judged, by, value))
                count += 1
            else:
                skipped += 1
    except _QuitError:
        pass
    if skipped:
        say(f"Skipped: {skipped}. They are in no rate; where the hard ones are skipped, it is that of the easy ones.")
    say(f"Answers labelled: {count}. Run the same `assay evaluate` again for the figures.")


def shared_ledger(config: Config) -> Ledger:
    """The ledger that a gateway with this configuration writes. Raises ConfigError if the ledger is a temporary one."""
    if config.state_dir is None and config.redis_url is None:
        raise ConfigError(["state_dir: set it (ASSAY_STATE_DIR), for the gateway too: it holds the ledger of samples"])
    return open_ledger(config, _now)


def _now() -> float:
    return time.time()  # noqa: TID251 - the ledger has Unix seconds


def keys() -> Callable[[], str]:
    """One key at a time from a terminal; from a pipe the first letter of each line."""
    if not sys.stdin.isatty():
        return lambda: (sys.stdin.readline() or "q").strip().lower()[:1] or " "

    number = sys.stdin.fileno()
    # The mode is changed once and not for each key, because a change would drop what was typed ahead.
    atexit.register(termios.tcsetattr, number, termios.TCSADRAIN, termios.tcgetattr(number))
    tty.setcbreak(number, termios.TCSANOW)
    return lambda: sys.stdin.read(1).lower()


class Session:
    """One reviewer's session. Labels are stored at once, so that nothing is lost when it ends."""

    def __init__(
        self,
        desk: Review,
        by: str,
        only: Sequence[str],
        filters: Filters,
        key: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._by = by
        self._only = tuple(only)
        self._filters = filters
        self._key = key
        self._say = say
        self._labelled = self._without_texts = 0
        self._passed: set[str] = set()

    async def run(self, ledger: Ledger) -> int:
        """Show text after text until the queue is empty or the reviewer stops. Raises LedgerError and LabelError."""
        self._say(f"Reviewing as {self._by}; {await self._desk.waiting()} samples wait. Keys: {_WORDS}.")
        try:
            while found := await self._desk.next(self._by, self._filters, passed=self._passed):
                await self._one(found[0])
            left = await self._desk.waiting()
            held = f" {left} samples still wait: you skipped them, or other reviewers hold them for some minutes."
            self._say("There is nothing more for you now." + (held if left else ""))
        except _QuitError:
            pass
        finally:
            await ledger.flush()
        if self._without_texts:
            self._say(
                f"{self._without_texts} samples have no kept texts and were skipped: set review_text for the gateway "
                "(ASSAY_REVIEW_TEXT=true); samples drawn from then on can be read."
            )
        self._say(f"Samples labelled: {self._labelled}. The other samples go on waiting; start again at any time.")
        for row in await self._desk.agreement():
            said = "not defined: both always said the same" if row["kappa"] is None else row["kappa"]
            names = " and ".join(row["reviewers"])
            self._say(f"{names}: {row['labels']} labels by both, {row['equal_share']:.0%} equal, Cohen's kappa {said}")
        return 0

    async def _one(self, item: SampleToLabel) -> None:
        """Ask about one item; one without kept texts is skipped."""
        if not item.waiting.texts:
            self._without_texts += 1
            self._passed.add(item.waiting.sample)
            return
        self._show(item)
        try:
            answers = self._ask_all(item.entry)
        except _SkipItemError:
            answers = {}
        if not answers:
            self._passed.add(item.waiting.sample)
            return
        try:
            await self._desk.label(item.waiting.sample, self._by, labels_of(answers, item.entry))
        except LabelError as error:  # the sample expired while it was shown
            self._passed.add(item.waiting.sample)
            self._say(f"not kept: {error}")
        else:
            self._labelled += 1

    def _show(self, item: SampleToLabel) -> None:
        shown: dict[str, Any] = item.shown()
        self._say("\n" + "─" * _WIDTH)
        self._say(f"{shown['sample']} · route {shown['route']} · model {shown['model']} · {shown['why']}")
        for side, text in shown["texts"].items():
            self._say(f"\n[{side}]")
            self._say("\n".join(_lines(text)))
        flags = [f"{each['subcategory']} in the {each['direction']}" for each in shown["scores"] if each["flagged"]]
        self._say(f"\nflagged: {', '.join(flags) or 'nothing'}")

    def _ask_all(self, entry: Entry) -> dict[tuple[str, str], bool]:
        """Ask about the prompt, then about the response: first `unsafe`, and unless that is no, each single harm."""
        answers: dict[tuple[str, str], bool] = {}
        for direction in ("prompt", "response"):
            for slug in self._questions(direction, entry):
                if slug in HARMS and not self._only and answers.get((direction, "unsafe")) is False:
                    continue
                said = _ask(direction, slug, self._key, self._say)
                if said is not None:
                    answers[direction, slug] = said
        return answers

    def _questions(self, direction: str, entry: Entry) -> list[str]:
        there = may_be_labelled(entry)
        wanted = self._only or ("unsafe", *sorted(HARMS))
        return [slug for slug in wanted if (direction, slug) in there]


def _ask(direction: str, slug: str, read_key: Callable[[], str], say: Callable[[str], None]) -> bool | None:
    say(f"{direction}: {slug} ({_DEFINITIONS[slug]})? [y/n/s/i/q]")
    while True:
        key = read_key()
        if key in _END:
            raise _QuitError
        if key == "i":
            raise _SkipItemError
        if key in _KEYS:
            return _KEYS[key]
        if key.isprintable():
            say(f"{key} is not one of the keys: {_WORDS}")


def _lines(text: str) -> list[str]:
    """A text for a terminal: without control characters, wrapped, and without its middle if it is long."""
    clean = "".join(each if each.isprintable() or each == "\n" else "�" for each in text)
    lines = [part for line in clean.split("\n") for part in textwrap.wrap(line, _WIDTH) or [""]]
    if len(lines) <= _MOST_LINES:
        return lines
    half = _MOST_LINES // 2
    return [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]
