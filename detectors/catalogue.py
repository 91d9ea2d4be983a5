"""All rules that need only their own tables, by the name of the detector."""

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
