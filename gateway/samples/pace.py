"""How much of the traffic is sampled when not all that the routes ask for can be judged."""

from collections.abc import Callable

from gateway.telemetry import metrics

LEAST = 0.001  # of a route's rate: what is never sampled is known to nobody
_STEP_SECONDS = 1.0
_MEMORY_SECONDS = 30.0
_MOST_CHANGE = 2.0  # in one step, where processor time decides: it lags behind what was chosen


class Pace:
    """Turns the rates of routes into probabilities that keep to a number of samples and to processor time.

    All rates are multiplied with the same share. It is set once a second, by what came and what was used before, so the
    probability of an exchange is known exactly before the exchange is looked at, and weights of 1/probability stay
    right while the share moves.

    `samples_per_second` and `cores` (processor seconds a second) are the bounds, None for no bound. `cpu_seconds` says
    what the detectors and the monitors' processes have used so far, for whatever they did: what guards need leaves less
    for samples. `clock` is
    in seconds and may stand still or jump.
    """

    def __init__(
        self,
        samples_per_second: float | None,
        cores: float | None,
        *,
        cpu_seconds: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._samples_per_second = samples_per_second
        self._cores = cores
        self._cpu_seconds = cpu_seconds
        self._clock = clock
        self._at = clock()
        self._used = cpu_seconds() if cores is not None else 0.0
        self._asked = self._chosen = 0.0  # since the last step: sums of rates and of probabilities
        self._demand, self._taken, self._cost = _Mean(), _Mean(), _Mean()  # each a second
        self._of_cores = 1.0
        self.share = 1.0
        metrics.SAMPLING_SHARE.set(1.0)

    def probability(self, rate: float) -> float:
        """With which the exchange that comes now is to be chosen on a route with this rate; it counts as come."""
        now = self._clock()
        if not 0 <= now - self._at < _STEP_SECONDS:
            self._step(max(0.0, now - self._at))
            self._at = now
        probability = rate * self.share
        self._asked += rate
        self._chosen += probability
        return probability

    def _step(self, passed: float) -> None:
        if passed:  # a clock that jumped back tells nothing
            self._demand.add(self._asked / passed, passed)
            self._taken.add(self._chosen / passed, passed)
            self._asked = self._chosen = 0.0
            self.share = max(LEAST, min(1.0, self._by_samples(), self._by_cores(passed)))
            metrics.SAMPLING_SHARE.set(self.share)

    def _by_samples(self) -> float:
        if self._samples_per_second is None or not self._demand.value:
            return 1.0
        return self._samples_per_second / self._demand.value

    def _by_cores(self, passed: float) -> float:
        """What was used for the samples taken says what may be taken."""
        if self._cores is None:
            return 1.0
        used = self._cpu_seconds()
        self._cost.add(max(0.0, used - self._used) / passed, passed)  # less than before: they have begun anew
        self._used = used
        if self._demand.value and self._cost.value:
            fitting = self._taken.value / self._demand.value * self._cores / self._cost.value
            least, most = self._of_cores / _MOST_CHANGE, self._of_cores * _MOST_CHANGE
            self._of_cores = max(LEAST, min(1.0, most, max(least, fitting)))
        return self._of_cores


class _Mean:
    """An exponentially weighted mean over time."""

    def __init__(self) -> None:
        self.value = 0.0
        self._seconds = 0.0

    def add(self, value: float, seconds: float) -> None:
        """What held for so many seconds; in the beginning all that came weighs alike."""
        self._seconds = min(_MEMORY_SECONDS, self._seconds + seconds)
        self.value += (value - self.value) * min(1.0, seconds / self._seconds)
