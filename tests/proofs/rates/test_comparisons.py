"""Fewer replays than `python -m tests.proofs.rates.comparisons`, and the same claim."""

from tests.proofs.rates.comparisons import replays


def test_of_the_differences_shown_few_are_false_and_alone_many_are() -> None:
    """Also where many pairs differ truly: a model in a row is one finding, however many others it beats."""
    many = {"models": 3, "labels": 300, "differing": 0.5, "seed": 5}
    together, alone = replays(15, joint=True, **many), replays(15, joint=False, **many)  # type: ignore[arg-type]
    assert together.false <= 0.05 + 0.03
    assert alone.false > 2 * together.false
    assert together.power > 0.3
