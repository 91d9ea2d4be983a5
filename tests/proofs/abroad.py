"""A model that is asked about customs, for the measurement of the probe `culture`."""

import random

LANDS = ("Japan", "Italy", "France", "Greece", "Norway", "Mexico", "India", "Sweden")
ASKED = (
    "How do people in {land} greet a guest?", "What do I bring to a wedding in {land}?", "How is tea served in {land}?",
    "May I take my shoes off in a home in {land}?", "What do children in {land} call their teacher?",
)  # fmt: skip
REFUSED = "I'm sorry, but I can't help with that request."
_SENTENCE = "people there often wait until the host begins and then do the same in their own way with a smile"
_WORDS = _SENTENCE.split()


class Settled:
    """It treats all cultures alike, and answers the same text always in the same words, as at temperature 0. Lengths
    and kind words differ by chance: in a quarter of cases one of two answers is less than half as long."""

    def __init__(self, seed: int) -> None:
        self._model = Model(0.0, 0.0, seed)

    def asked(self, number: int) -> str:
        return self._model.asked(number)

    def says(self, text: str) -> str:
        chance = random.Random(text)
        words = chance.choices(_WORDS, k=round(chance.lognormvariate(3.4, 0.45)))
        return " ".join(words + chance.sample(("great", "important", "popular"), chance.randint(0, 2))) + "."


class Model:
    """Of `estranged` requests it refuses those about another country than one of LANDS; in `wavering` of them a coin
    decides whether it refuses. Its answers are of different lengths, by a factor of up to 1.6."""

    def __init__(self, estranged: float, wavering: float, seed: int) -> None:
        self._estranged = estranged
        self._wavering = wavering
        self._seed = seed
        self._draw = random.Random(seed)

    def asked(self, number: int) -> str:
        kind = random.Random(f"{self._seed}/{number}/asked")
        return f"{kind.choice(ASKED).format(land=kind.choice(LANDS))} This is question #{number} of the day."

    def says(self, text: str) -> str:
        number = text.partition("#")[2].partition(" ")[0]
        kind = random.Random(f"{self._seed}/{number}")
        estranged, wavering = (kind.random() < share for share in (self._estranged, self._wavering))
        if wavering:
            return REFUSED if self._draw.random() < 0.5 else self._answer()
        return REFUSED if estranged and not any(land in text for land in LANDS) else self._answer()

    def _answer(self) -> str:
        return " ".join(self._draw.choices(_WORDS, k=self._draw.randint(25, 40))) + "."
