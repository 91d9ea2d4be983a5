"""Secrets in a text: tokens by their providers' shapes, key blocks, URLs and commands with a password, named values.

Nothing is checked online: a finding says that the text carries something of that shape which is no known specimen.
Overlapping findings are one, so that nothing of a secret stays. `RULE` is the whole; how it reads is in `search`.
"""

from detectors.rules.secrets.search import RULE

__all__ = ["RULE"]
