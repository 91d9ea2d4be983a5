"""THE judging: all detectors are asked together about some texts.

It reveals hidden text, asks each detector, and folds what a detector says about the views of a text into one opinion.
The detector process, the commands and the studies all judge here, so they cannot disagree.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from detectors import manifest, registry
from detectors.base import (
    PIECE_CHARACTERS,
    PIECE_TEXTS,
    Detector,
    Judgement,
    Known,
    Reading,
    State,
    Steps,
    Stepwise,
    Text,
    TextByText,
    Verdict,
    finish,
)
from detectors.hiding import unhide
from detectors.opinions import Opinion
from detectors.own import building, specs
from detectors.trained.languages import groups

Thresholds = Mapping[tuple[str, str, str], float]  # (detector id, slug, role) → the score from which a text is flagged

_UNREACHABLE = 2.0  # a threshold where none was measured


@dataclass(frozen=True, slots=True)
class Question:
    """A text, and the slugs for which it is to be judged; None for all."""

    text: Text
    slugs: frozenset[str] | None = None

    def is_for(self, detector: Detector) -> bool:
        return self.slugs is None or not self.slugs.isdisjoint(detector.slugs)


@dataclass(slots=True)
class Answer:
    """What the panel says of one text.

    `states` has for each detector what it did with the text: a State's value, `errored` or `absent`. `failed` has the
    detectors that raised, with the type of the exception, and those that are absent. `remembered` are the detectors
    that had judged the text before.

    `instead`: a detector may leave a text, or passages of it, to detectors of other languages although only it judges
    some of the slugs that were asked for by name. Then its state is `unreadable`, and `instead` names those others.
    """

    opinions: list[Opinion] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    remembered: list[str] = field(default_factory=list)
    instead: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def is_unreadable(self) -> bool:
        """Whether some detector could not read the text, and no other read it in its place."""
        unreadable = State.UNREADABLE.value
        return any(state == unreadable and not self.instead.get(name) for name, state in self.states.items())


def coverage(answers: Iterable[Answer]) -> Counter[tuple[str, str]]:
    """The number of texts by (detector, state)."""
    return Counter(pair for answer in answers for pair in answer.states.items())


class Panel:
    """The detectors and their default thresholds. `absent` says for each missing detector why it was not loaded."""

    def __init__(
        self,
        detectors: Sequence[Detector],
        thresholds: Thresholds = MappingProxyType({}),
        absent: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.detectors = detectors
        self.absent = absent
        self._languages = _Languages([detector for detector in detectors if isinstance(detector, Reading)])
        self._thresholds = thresholds
        # Decided once, because checking an object against a protocol takes a tenth of a millisecond in Python 3.11.
        self._stepwise = [detector for detector in detectors if isinstance(detector, Stepwise)]
        self._quick = [(detector, _way(detector)) for detector in detectors if not isinstance(detector, Stepwise)]

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """An answer to each question, in order; the texts go through each detector together."""
        return finish(self.steps(questions))

    def steps(self, questions: Sequence[Question], known: Sequence[Known] | None = None) -> Steps[list[Answer]]:
        """What `ask` does, in bounded pieces of work, the first texts first.

        `known` has an entry for each question, the same object for the same text; what is found is added to it. When
        the work is stopped early, texts that were not wholly read are `stopped`. A detector that raises loses only its
        own opinions.
        """
        work = _Work(questions, known, self._languages)
        yield from work.reveal(self.detectors)
        yield from work.tell_languages()
        for quick, way in self._quick:  # first, so that they have judged every text if the time runs out
            yield from work.ask_one_by_one(quick, way)
        for detector in self._stepwise:
            yield from work.ask_in_steps(detector)
        answers: list[Answer] = []
        for number, question in enumerate(questions):
            answers.append(self._answer(question, work, number))
            if len(answers) % PIECE_TEXTS == 0:
                yield
        return answers

    def _answer(self, question: Question, work: "_Work", number: int) -> Answer:
        judged, failed, before = work.of(number)
        there = work.groups(number)
        answer = Answer(states=dict.fromkeys(self.absent, "absent"), failed=dict.fromkeys(self.absent, "absent"))
        for detector in filter(question.is_for, self.detectors):
            judgement = judged.get(detector.id)
            if self._languages.passes_over(detector, there):
                self._languages.note(answer, question, detector, there)
                continue
            if detector.id in failed:
                answer.failed[detector.id] = failed[detector.id]
                answer.states[detector.id] = "errored"
            elif judgement is None:
                answer.states[detector.id] = State.STOPPED.value
            else:
                answer.states[detector.id] = judgement.state.value
                answer.opinions += self._opinions(judgement, question)
                if judgement.state is State.UNREADABLE and self._languages.is_shared(detector, there):
                    answer.states[detector.id] = State.SCANNED.value
                    self._languages.note(answer, question, detector, there)
            if detector.id in before:
                answer.remembered.append(detector.id)
        return answer

    def _opinions(self, judgement: Judgement, question: Question) -> Iterator[Opinion]:
        if judgement.state is State.SKIPPED:
            return
        for verdict in judgement.verdicts:
            if question.slugs is None or verdict.slug in question.slugs:
                threshold = self._thresholds.get((verdict.detector, verdict.slug, question.text.role), _UNREACHABLE)
                yield Opinion(
                    verdict.detector, verdict.slug, verdict.score, verdict.score >= threshold, _spans(verdict)
                )


class _Languages:
    """Decides which of the detectors that read only some languages are asked about a text.

    `there` are the groups of the text's languages, as `detectors.trained.languages` finds them.
    """

    def __init__(self, readers: Sequence[Reading]) -> None:
        self._readers = readers
        self._group_of = {reader.id: reader.group for reader in readers}
        self._groups = frozenset(self._group_of.values())

    def passes_over(self, detector: Detector, there: Collection[str]) -> bool:
        """Whether the detector leaves the whole text to others. If none of them can read a text, none leaves it: each
        reports that it cannot read it."""
        group = self._group_of.get(detector.id)
        return group is not None and group not in there and not self._groups.isdisjoint(there)

    def is_shared(self, detector: Detector, there: Collection[str]) -> bool:
        """Whether other detectors read everything in the text that this one does not read."""
        return len(there) > 1 and detector.id in self._group_of and self._groups.issuperset(there)

    def note(self, answer: Answer, question: Question, detector: Detector, there: Collection[str]) -> None:
        """Record that a detector left something to others, if these do not judge all the slugs that it was asked
        for."""
        asked = frozenset() if question.slugs is None else question.slugs & detector.slugs
        instead = [reader for reader in self._readers if reader.group in there and reader.id != detector.id]
        if asked - frozenset[str]().union(*(reader.slugs for reader in instead)):
            answer.states[detector.id] = State.UNREADABLE.value
            answer.instead[detector.id] = frozenset(reader.id for reader in instead if asked & reader.slugs)


class _Work:
    """The judging of some texts: the questions, and the judgements so far. A text that occurs twice is judged once."""

    def __init__(self, questions: Sequence[Question], known: Sequence[Known] | None, languages: _Languages) -> None:
        if known is None:
            by_text: dict[Text, Known] = {}
            known = [by_text.setdefault(question.text, {}) for question in questions]
        self._known = known
        self._before = [frozenset(entry) for entry in known]
        self._questions = questions
        self._languages = languages
        self._groups: dict[int, frozenset[str]] = {}  # of the languages of a text, by the place of its first question
        self._stopped: dict[int, Known] = {}  # what was not wholly read, by the place of the text's first question
        self._failed: dict[int, dict[str, str]] = {}
        self._revealed: dict[str, unhide.Revealed] = {}
        first: dict[int, int] = {}
        self._first = [first.setdefault(id(entry), number) for number, entry in enumerate(known)]

    def of(self, number: int) -> tuple[Mapping[str, Judgement], Mapping[str, str], Collection[str]]:
        """For the question with this number: the judgements, the failures, and the detectors that had judged it
        before."""
        place = self._first[number]
        judged = {**self._known[number], **self._stopped.get(place, {})}
        return judged, self._failed.get(place, {}), self._before[number]

    def groups(self, number: int) -> frozenset[str]:
        """The groups of the languages of this question's text and of what is hidden in it."""
        place = self._first[number]
        if place not in self._groups:
            self._groups[place] = frozenset[str]().union(*map(groups, self._shown(place)))
        return self._groups[place]

    def _shown(self, place: int) -> Sequence[str]:
        text = self._questions[place].text.text
        revealed = self._revealed.get(text)
        return (text,) if revealed is None else revealed.views

    def tell_languages(self) -> Steps[None]:
        """Find out the languages of the texts, for `groups`."""
        size = 0
        for place in dict.fromkeys(self._first):
            told = frozenset[str]()
            for view in self._shown(place):
                if size >= PIECE_CHARACTERS:
                    size = 0
                    if (yield):
                        return
                told |= groups(view)
                size += max(len(view), PIECE_CHARACTERS // PIECE_TEXTS)
            self._groups[place] = told

    def _new(self, detector: Detector) -> list[int]:
        """The places of the texts that this detector must judge and has not judged yet."""
        asked = (
            place for place, question in zip(self._first, self._questions, strict=True) if question.is_for(detector)
        )
        return [place for place in dict.fromkeys(asked) if detector.id not in self._known[place]]

    def reveal(self, detectors: Iterable[Detector]) -> Steps[None]:
        """Reveal what is hidden in the texts that are to be judged."""
        for place in dict.fromkeys(place for detector in detectors for place in self._new(detector)):
            text = self._questions[place].text.text
            if text not in self._revealed:
                revealed = yield from unhide.reveal_in_steps(text)
                if revealed is None:
                    return
                self._revealed[text] = revealed
                if (yield):
                    return

    def ask_one_by_one(self, detector: Detector, way: "_Way") -> Steps[None]:
        """Let a detector judge the texts one after the other."""
        for place in self._readable(detector):
            try:
                judged = yield from way(self._views([place]))
                self._keep(detector, [place], judged)
            except Exception as error:  # noqa: BLE001 - a detector that fails must not affect the others
                self._failed.setdefault(place, {})[detector.id] = type(error).__name__
            if (yield):
                return

    def ask_in_steps(self, detector: Stepwise) -> Steps[None]:
        """Let a detector judge the texts together, in its own steps."""
        places = self._readable(detector)
        if not places:
            return
        try:
            judged = yield from detector.steps(self._views(places))
            self._keep(detector, places, judged)
        except Exception as error:  # noqa: BLE001 - see above
            for place in places:
                self._failed.setdefault(place, {})[detector.id] = type(error).__name__

    def _readable(self, detector: Detector) -> list[int]:
        return [
            place
            for place in self._new(detector)
            if self._questions[place].text.text in self._revealed
            and not self._languages.passes_over(detector, self.groups(place))
        ]

    def _views(self, places: Iterable[int]) -> list[Text]:
        texts = [self._questions[place].text for place in places]
        return unhide.shown(texts, [self._revealed[text.text] for text in texts])

    def _keep(self, detector: Detector, places: Sequence[int], judged: Sequence[Judgement]) -> None:
        revealed = [self._revealed[self._questions[place].text.text] for place in places]
        for place, judgement in zip(places, unhide.folded(revealed, judged), strict=True):
            kept = self._known[place] if judgement.state is not State.STOPPED else self._stopped.setdefault(place, {})
            kept[detector.id] = judgement


_Way = Callable[[Sequence[Text]], Steps[list[Judgement]]]  # judges the views of one text


def _way(detector: Detector) -> _Way:
    return partial(_each, detector.judging) if isinstance(detector, TextByText) else partial(_all, detector.detect)


def _each(judging: Callable[[Text], Steps[Judgement]], views: Sequence[Text]) -> Steps[list[Judgement]]:
    judged: list[Judgement] = []
    for view in views:
        judged += [(yield from judging(view))]
    return judged


def _all(detect: Callable[[Sequence[Text]], list[Judgement]], views: Sequence[Text]) -> Steps[list[Judgement]]:
    yield from ()
    return detect(views)


def _spans(verdict: Verdict) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in verdict.spans]


def load(
    models: Path = manifest.MODELS,
    fingerprints: Path | None = None,
    *,
    only: Collection[str] | None = None,
    own: specs.OwnDetectors = specs.NONE,
) -> Panel:
    """The detectors that can judge at least one of the slugs `only`, or all. Raises manifest.ModelError.

    `fingerprints` is a file that `assay fingerprint build` made, `own` are the operator's detectors.
    """
    panel = load_what_loads(models, fingerprints, only=only, own=own)
    for why in panel.absent.values():
        raise manifest.ModelError(why)
    return panel


def load_what_loads(
    models: Path = manifest.MODELS,
    fingerprints: Path | None = None,
    *,
    only: Collection[str] | None = None,
    own: specs.OwnDetectors = specs.NONE,
) -> Panel:
    """As `load`, but without the detectors that cannot be loaded: one damaged file must not stop the others."""
    built: list[Detector] = []
    absent: dict[str, str] = {}
    known: list[manifest.DetectorInfo] = []
    for name, factory in registry.factories(fingerprints).items():
        try:
            info = manifest.load_one(name, models)
            if only is None or not info.slugs.isdisjoint(only):
                built.append(factory(info))
                known.append(info)
        except manifest.ModelError as error:
            absent[name] = str(error)
    built += building.built(own, absent, only)
    return Panel(built, {**thresholds(known), **own.thresholds()}, absent)


def thresholds(
    known: Iterable[manifest.DetectorInfo], false_alarms: float = manifest.DEFAULT_FALSE_ALARMS
) -> dict[tuple[str, str, str], float]:
    """The scores from which on texts are flagged at this false-alarm rate, for the heads that have a table."""
    return {
        (info.id, slug, role): score
        for info in known
        for (slug, role), table in info.operating.items()
        if (score := manifest.threshold(table, false_alarms)) is not None
    }
