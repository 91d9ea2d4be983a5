"""A sample that was drawn for a probe."""

from dataclasses import dataclass, replace
from random import Random

from gateway.probes.changes.conversation import Conversation
from gateway.probes.table import Probe
from gateway.trust.judged import Judged


@dataclass(frozen=True, slots=True)
class DrawnForProbe:
    """A sample that was drawn for a probe. `tries` counts failed tries."""

    judged: Judged
    conversation: Conversation
    probe: Probe
    tries: int = 0

    def again(self) -> "DrawnForProbe":
        return replace(self, tries=self.tries + 1)

    @property
    def draw(self) -> Random:
        """Random numbers that are the same for the same sample and probe, in every process."""
        return Random(f"{self.judged.id}/{self.probe.name}")
