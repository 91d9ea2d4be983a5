"""Worker processes that end, and when another one is started: in virtual time, without processes."""

import signal
from dataclasses import dataclass, field

import pytest

from gateway.serving.crew import LAST_PAUSE_SECONDS, STEADY_SECONDS, Crew


@dataclass
class Worker:
    pid: int
    exitcode: int | None = None


@dataclass
class World:
    """A crew that is looked at ten times a second, and its workers in the order of their starts."""

    number: int = 2
    now: float = 0.0
    started: list[Worker] = field(default_factory=list)
    crew: Crew[Worker] = field(init=False)

    def __post_init__(self) -> None:
        self.crew = Crew(self.start, self.number, clock=lambda: self.now)

    def start(self) -> Worker:
        self.started.append(Worker(len(self.started)))
        return self.started[-1]

    def until_a_start(self) -> float:
        """Seconds until the next one, up to ten minutes."""
        began, before = self.now, len(self.started)
        while len(self.started) == before and self.now < began + 600:
            assert self.crew.look()
            self.now += 0.125
        return self.now - began - 0.125


def test_one_that_dies_over_and_over_is_started_after_ever_longer_pauses_up_to_a_bound() -> None:
    world = World()
    waited = []
    for _ in range(8):
        world.crew.workers[1].exitcode = 1
        waited.append(world.until_a_start())
    assert waited == [1, 2, 4, 8, 16, 30, 30, 30]
    assert world.crew.workers[0].pid == 0  # nobody touched the other one


@pytest.mark.parametrize("exitcode", [0, 1, -signal.SIGKILL])
def test_one_that_lived_is_started_again_at_once(exitcode: int) -> None:
    world = World()
    for _ in range(5):
        world.now += STEADY_SECONDS
        world.crew.workers[0].exitcode = exitcode
        assert world.until_a_start() == 0


def test_the_pause_is_forgotten_by_one_that_lived() -> None:
    world = World()
    for _ in range(6):
        world.crew.workers[1].exitcode = 1
        world.until_a_start()
    world.now += STEADY_SECONDS
    world.crew.workers[1].exitcode = 1
    assert world.until_a_start() == 0
    world.crew.workers[1].exitcode = 1
    assert world.until_a_start() == 1


def test_while_none_lives_nobody_waits_long() -> None:
    world = World(number=1)
    for _ in range(8):
        world.crew.workers[0].exitcode = 1
        assert world.until_a_start() == 1


def test_each_end_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.crew.workers[1].exitcode = -signal.SIGKILL
    world.until_a_start()
    world.now += 2
    world.crew.workers[1].exitcode = 7
    world.until_a_start()
    world.now += STEADY_SECONDS
    world.crew.workers[0].exitcode = 0
    world.until_a_start()
    assert caplog.messages == [
        "worker process 1 ended (killed by SIGKILL) after 0 s; another one is started in 1 s",
        "worker process 2 ended (status 7) after 2 s; another one is started in 2 s",
        "worker process 0 ended (status 0) after 65 s; another one is started at once",
    ]


def test_workers_whose_application_cannot_be_built_end_the_gateway(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.crew.workers[0].exitcode = 3
    assert world.crew.look()  # the other one is still trying
    world.crew.workers[1].exitcode = 3
    assert not world.crew.look()
    assert caplog.messages[-1] == "worker process 1 could not start, so the gateway ends"


def test_one_that_cannot_start_any_more_does_not_end_those_that_serve() -> None:
    """The settings were broken after the start, say: the others hold the ones before."""
    world = World()
    world.now += STEADY_SECONDS
    waited = []
    for _ in range(5):
        world.crew.workers[1].exitcode = 3
        waited.append(world.until_a_start())
    assert waited == [0, 1, 2, 4, 8]
    assert world.crew.workers[0].pid == 0


@pytest.mark.slow
def test_a_crew_that_dies_for_a_day_does_not_start_many() -> None:
    world = World(number=4)
    while world.now < 86_400:
        world.crew.look()
        world.crew.workers[3].exitcode = world.crew.workers[3].exitcode or 1
        world.now += 1
    assert len(world.started) - 4 <= 86_400 / LAST_PAUSE_SECONDS + 6
