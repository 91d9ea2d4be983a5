"""`assay settings`: the table of settings, as Markdown."""

import argparse

from gateway.commands import out
from gateway.config.explain import settings_table


def settings(_: argparse.Namespace) -> int:
    """`assay settings`."""
    out(settings_table())
    return 0
