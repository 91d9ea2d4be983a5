"""Compiles written conditions to expressions: fills in what is inherited, and rejects what can never hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from policies.detectable import Criteria, Detectable, Fault
from policies.expressions import AllOf, AnyOf, Expression, InOneText, Leaf, Not, RequestIs, directions_of
from policies.model import CHANNELS, DIRECTIONS, RESPONSE_CHANNELS, Condition, Direction
from policies.source import KeyPath, nearest


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """A condition with its thresholds. `faults` say what is wrong, `remarks` what the author should know."""

    tree: Expression
    faults: tuple[Fault, ...]
    remarks: tuple[str, ...]


def compile_condition(
    when: Condition, detectable: Detectable, *, directions: tuple[Direction, ...] = DIRECTIONS
) -> CompiledCondition:
    """The tree of a rule's condition. `directions` are those in which the rule's action can be taken."""
    compiler = _ConditionCompiler(detectable)
    tree = compiler.compile(when, _Outer(directions, False), ())
    if not compiler.faults:
        compiler.check(tree)
    return CompiledCondition(tree, tuple(compiler.faults), tuple(compiler.remarks))


class _Outer(NamedTuple):
    """What a condition inherits from those around it. None and empty restrict nothing."""

    directions: tuple[Direction, ...]
    on_is_written: bool
    channels: frozenset[str] | None = None
    languages: frozenset[str] | None = None
    detector: str | None = None
    finding: tuple[str, ...] = ()
    false_alarms: float | None = None
    score: float | None = None
    agree: int = 1


class _ConditionCompiler:
    def __init__(self, detectable: Detectable) -> None:
        self.detectable = detectable
        self.faults: list[Fault] = []
        self.remarks: list[str] = []

    def compile(self, written: Condition, outer: _Outer, path: KeyPath) -> Expression:
        inner = self._narrowed(written, outer, path)
        parts: list[Expression] = []
        slugs = written.slugs
        if written.subcategory is not None or written.category is not None or slugs:
            parts.append(self._leaf(written, slugs, inner, path))
        elif written.any is not None:
            parts.append(AnyOf(self._several(written.any, inner, (*path, "any"))))
        if written.all is not None:
            parts += self._several(written.all, inner, (*path, "all"))
        if written.not_ is not None:
            parts.append(Not(self._one(written.not_, inner, (*path, "not"))))
        if written.same_text:
            parts = [InOneText(_all_of(parts))]
        for key in ("route", "model", "caller"):
            if names := getattr(written, key):
                if key == "route":
                    self._check_routes(names, path)
                parts.append(_asked(key, names, (*path, key)))
        return _all_of(parts)

    def _check_routes(self, names: Iterable[str], path: KeyPath) -> None:
        for place, name in enumerate(names):
            if self.detectable.routes and name not in self.detectable.routes:
                what = f"there is no route {name!r}"
                self.faults.append(Fault((*path, "route", place), what, nearest(name, self.detectable.routes)))

    def _several(self, entries: Iterable[str | Condition], outer: _Outer, path: KeyPath) -> tuple[Expression, ...]:
        return tuple(self._one(entry, outer, (*path, place)) for place, entry in enumerate(entries))

    def _one(self, entry: str | Condition, outer: _Outer, path: KeyPath) -> Expression:
        if isinstance(entry, Condition):
            return self.compile(entry, outer, path)
        return self._leaf(_word(entry), (), outer, path)

    def _narrowed(self, written: Condition, outer: _Outer, path: KeyPath) -> _Outer:
        said = written.model_fields_set
        directions = tuple(d for d in outer.directions if d in written.directions)
        channels = self._common(outer.channels, written.channel, "channel", path)
        if not directions and not self.faults:
            listed = " and ".join(outer.directions)
            self._fault(path, "on", "no text has this direction and this channel", f"here only the {listed} is judged")
        if channels is not None and channels.isdisjoint(_possible(directions)) and not self.faults:
            what = f"a {' or '.join(directions)} has no channel {' or '.join(sorted(channels))}"
            self._fault(path, "channel", what, "change `on` or `channel`, here or in the condition around it")
        for place, code in enumerate(written.language or ()):
            if self.detectable.languages and code not in self.detectable.languages:
                what = f"the language {code!r} is unknown"
                self.faults.append(Fault((*path, "language", place), what, nearest(code, self.detectable.languages)))
        rate, score = (
            (written.false_alarms, written.score)
            if said & {"false_alarms", "score"}
            else (outer.false_alarms, outer.score)
        )
        return _Outer(
            directions,
            outer.on_is_written or "on" in said,
            channels,
            self._common(outer.languages, written.language, "language", path),
            written.detector or outer.detector,
            written.finding or outer.finding,
            rate,
            score,
            written.agree or outer.agree,
        )

    def _common(
        self, outer: frozenset[str] | None, inner: Sequence[str] | None, key: str, path: KeyPath
    ) -> frozenset[str] | None:
        if inner is None:
            return outer
        found = frozenset(inner)
        if key == "channel" and "tool" in found:  # retrieved texts are results of tools
            found |= {"retrieved"}
        if outer is None:
            return found
        if found.isdisjoint(outer):
            what = f"no text has the {key} {' or '.join(sorted(found))} here"
            self._fault(path, key, what, f"the condition around it asks for {' or '.join(sorted(outer))}")
        return found & outer

    def _leaf(self, written: Condition, slugs: tuple[str, ...], inner: _Outer, path: KeyPath) -> Leaf:
        resolved = self.detectable.resolve(
            Criteria(
                written.subcategory,
                slugs,
                written.category,
                inner.detector,
                inner.finding,
                inner.false_alarms,
                inner.score,
                inner.directions,
                inner.on_is_written,
            )
        )
        self.faults += [Fault((*path, *fault.path), fault.what, fault.remedy) for fault in resolved.faults]
        self.remarks += resolved.remarks
        judges = {t.detector for t in resolved.thresholds}
        if inner.agree > max(1, len(judges)) and not resolved.faults:
            what = f"{inner.agree} detectors are to agree, but only {', '.join(sorted(judges))} can find this"
            self._fault(path, "agree", what, f"ask for {len(judges)}" if len(judges) > 1 else "remove `agree`")
        return Leaf(
            resolved.thresholds,
            inner.channels or frozenset(),
            inner.languages or frozenset(),
            frozenset(inner.finding),
            inner.agree,
            "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in ("when", *path))[1:],
        )

    def check(self, tree: Expression) -> None:
        """Refuse what can never hold: a part that a `not` beside it denies, or parts of different directions."""
        if isinstance(tree, Not | InOneText):
            self.check(tree.part)
        if isinstance(tree, AllOf | AnyOf):
            for part in tree.parts:
                self.check(part)
        if not isinstance(tree, AllOf):
            return
        wanted, denied = _sides(tree)
        if wanted and not directions_of(tree):
            what = "the parts of `all` are found in different directions, and a prompt and an answer are judged apart"
            self.faults.append(Fault(_path_of(wanted[-1]), what, "write one rule for each"))
        for leaf in wanted:
            for other in denied:
                if leaf.implies(other):
                    what = f"where `{leaf.place}` is found, so is what `{other.place}` denies: this never holds"
                    self.faults.append(Fault(_path_of(other), what, "narrow the `not` down or remove one of the two"))
        self._check_names(tree)

    def _check_names(self, tree: AllOf) -> None:
        """Names of routes, models or callers that contradict each other."""
        asked, refused = _names(tree)
        for place, ask in enumerate(asked):
            for other in asked[:place]:
                if ask.excludes(other):
                    what = (
                        f"no request has a {ask.key} that is both {_shown(other)} and {_shown(ask)}: this never holds"
                    )
                    self.faults.append(Fault(ask.path, what, "write one rule for each"))
            for other in refused:
                if ask.implies(other):
                    what = f"the {ask.key} is to be {_shown(ask)} and not {_shown(other)}: this never holds"
                    self.faults.append(Fault(other.path, what, "narrow the `not` down or remove one of the two"))

    def _fault(self, path: KeyPath, key: str, what: str, remedy: str) -> None:
        self.faults.append(Fault((*path, key), what, remedy))


def _word(slug: str) -> Condition:
    return Condition.model_validate({"subcategory": slug})


def _all_of(parts: Sequence[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _asked(key: str, names: Iterable[str], path: KeyPath) -> RequestIs:
    starred = key != "route"
    prefixes = tuple(sorted({name[:-1] for name in names if starred and name.endswith("*")}))
    return RequestIs(key, frozenset(name for name in names if not (starred and name.endswith("*"))), prefixes, path)


def _possible(directions: Iterable[Direction]) -> frozenset[str]:
    possible = {"prompt": frozenset(CHANNELS), "response": RESPONSE_CHANNELS}
    return frozenset().union(*(possible[direction] for direction in directions))


def _sides(tree: AllOf) -> tuple[list[Leaf], list[Leaf]]:
    """What must be found for it to hold, and what must not be found; an `any` settles neither."""
    wanted: list[Leaf] = []
    denied: list[Leaf] = []
    for part in tree.parts:
        match part:
            case Leaf():
                wanted.append(part)
            case AllOf():
                below = _sides(part)
                wanted += below[0]
                denied += below[1]
            case InOneText(part=inner):  # what it denies may be found in another text
                wanted += _sides(AllOf((inner,)))[0]
            case Not(part=Leaf() as leaf):
                denied.append(leaf)
            case Not(part=AnyOf(parts=parts)):
                denied += [leaf for leaf in parts if isinstance(leaf, Leaf)]
    return wanted, denied


def _names(tree: AllOf) -> tuple[list[RequestIs], list[RequestIs]]:
    """What the request must be for it to hold, and what it must not be."""
    asked: list[RequestIs] = []
    refused: list[RequestIs] = []
    for part in tree.parts:
        match part:
            case RequestIs():
                asked.append(part)
            case AllOf():
                below = _names(part)
                asked += below[0]
                refused += below[1]
            case Not(part=RequestIs() as ask):
                refused.append(ask)
            case Not(part=AnyOf(parts=parts)):
                refused += [inner for inner in parts if isinstance(inner, RequestIs)]
    return asked, refused


def _shown(asked: RequestIs) -> str:
    return " or ".join(repr(name) for name in (*sorted(asked.names), *(prefix + "*" for prefix in asked.prefixes)))


def _path_of(leaf: Leaf) -> KeyPath:
    steps = leaf.place.replace("[", ".").replace("]", "").split(".")[1:]
    return tuple(int(step) if step.isdigit() else step for step in steps)
