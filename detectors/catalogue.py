"""Every rule that needs nothing but its own tables, by the name of its detector."""

from collections.abc import Mapping
from types import MappingProxyType

from detectors.rules import arithmetic, payloads, pii, secrets
from detectors.rules.rule import Rule

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "secrets": secrets.RULE,
        "pii": pii.RULE,
        "arithmetic": arithmetic.RULE,
        "payloads": payloads.RULE,
    }
)
