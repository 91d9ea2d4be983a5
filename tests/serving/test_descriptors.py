"""The sentence about too few file descriptors: only where it is so, and the remedies in it are enough."""

import re

from gateway.serving.descriptors import shortfall
from tests.support.running.together import together


@together("in_flight", [1, 10, 4096])
@together("most", [64, 256, 1024, 65_536])
def test_what_it_advises_is_enough(in_flight: int, most: int) -> None:
    told = shortfall(in_flight, most)
    assert bool(told) == (most < 2 * in_flight + 64)
    if told:
        needed = int(re.findall(r"may need (\d+):", told)[0])
        lower = int(re.findall(r"at most (\d+)$", told)[0])
        assert shortfall(in_flight, needed) == ""
        assert lower == 1 or shortfall(lower, most) == ""
