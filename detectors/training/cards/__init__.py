"""The card of each detector, one page, written from its own measurements: `write` writes all of them with their charts.

`pages` is the order of a page, `sections` makes what stands in it of the measurements, `words` is what people wrote.
"""

from detectors.training.cards.pages import RELIABILITY as RELIABILITY
from detectors.training.cards.pages import ROC as ROC
from detectors.training.cards.pages import Curves as Curves
from detectors.training.cards.pages import Series as Series
from detectors.training.cards.pages import write as write
