"""How much of the traffic is sampled when not everything that the routes ask for can be judged."""

from collections.abc import Callable

from gateway.telemetry import metrics

LEAST = 0.001  # of a route's rate: sampling never stops wholly, or nothing would be known of the traffic
_STEP_SECONDS = 1.0
_MEMORY_SECONDS = 30.0
_MOST_CHANGE = 2.0  # factor in one step where processor time decides, because it is used later than it is asked for


class Pace:
    """Turns the rates of routes into probabilities that keep within a number of samples and within processor time.

    All rates are multiplied with the same share. It is set once a second by earlier traffic and use, so the probability
    of an exchange is known exactly before the exchange is looked at, and weights of 1/probability stay right while the
    share moves.

    `samples_per_second` and `cores` (processor seconds a second) are the bounds, None for no bound. `cpu_seconds` gives
    what the processes of the detectors and the monitors have used so far, for whatever purpose: what guards use is no
    longer there for samples. `clock` is in seconds and may stand still or jump.
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
        self._demand, self._taken, self._cost = _Mean(), _Mean(), _Mean()  # all of them per second
        self._of_cores = 1.0  # the share that the processor time allows
        self.share = 1.0
        metrics.SAMPLING_SHARE.set(1.0)

    def probability(self, rate: float) -> float:
        """The probability for an exchange that arrives now on a route with this rate. Counts the arrival."""
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
        """The share at which samples use the allowed processor time, if they cost as much as earlier ones."""
        if self._cores is None:
            return 1.0
        used = self._cpu_seconds()
        self._cost.add(max(0.0, used - self._used) / passed, passed)  # below 0 after a process started again
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
        """Add a value that held for so many seconds. Until _MEMORY_SECONDS have passed this is the plain mean."""
        self._seconds = min(_MEMORY_SECONDS, self._seconds + seconds)
        self.value += (value - self.value) * min(1.0, seconds / self._seconds)
