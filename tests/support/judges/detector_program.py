"""A detector process whose detector dies over a text with "deadly" in it and hangs on one with "endless"."""

import os
import time
from collections.abc import Sequence

from detectors.base import Judgement, Text
from detectors.panel import Panel
from gateway.judging.process import run
from tests.support.judges.words import LIMITS, Words


class Fragile(Words):
    """The detector of the other tests, and these two weaknesses; it also says that it compares."""

    compares = frozenset({"user"})

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        for text in texts:
            if "deadly" in text.text:
                os._exit(1)
            if "endless" in text.text:
                time.sleep(1000)
        return super().detect(texts)


if __name__ == "__main__":
    run(lambda: Panel([Fragile()], LIMITS))
