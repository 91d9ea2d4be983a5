"""Fewer series than `python -m tests.proofs.alarms`, and the same claim."""

from tests.proofs.alarms import measured


def test_there_are_fewer_false_alarms_than_promised_and_a_rise_is_found() -> None:
    """The promise: of series watched for seven days at most one in 52 has a false alarm."""
    ours, threshold, z_test = measured(60, 0.02, 3.0, 40.0)
    assert ours.false <= 1 / 52
    assert ours.found > 0.8
    assert ours.delay <= 48
    assert min(threshold.false, z_test.false) > ours.false
