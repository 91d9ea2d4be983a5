"""Run by another interpreter, in which `detect-secrets` is installed: JSON lines of texts in, lists of values out."""

import json
import sys
import tempfile
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings, transient_settings

HEURISTICS = (
    "is_sequential_string", "is_potential_uuid", "is_likely_id_string", "is_templated_secret",
    "is_prefixed_with_dollar_sign", "is_indirect_reference", "is_lock_file", "is_not_alphanumeric_string",
    "is_swagger_file", "is_non_text_file",
)  # fmt: skip


def main() -> None:
    """All plugins with their defaults, the heuristics that drop what is no secret; nothing is asked online."""
    with default_settings() as defaults:
        plugins = [{"name": kind.__name__} for kind in get_mapping_from_secret_type_to_class().values()]
        limits = {name: plugin for name, plugin in defaults.plugins.items() if plugin}
    used = [{**plugin, **limits.get(plugin["name"], {})} for plugin in plugins]
    filters = [{"path": f"detect_secrets.filters.heuristic.{name}"} for name in HEURISTICS]
    with transient_settings({"plugins_used": used, "filters_used": filters}), tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            case = json.loads(line)
            path = Path(folder) / case["name"]
            path.write_text(case["text"], encoding="utf-8", errors="replace")
            values = [found.secret_value for found in scan_file(str(path)) if found.secret_value]
            sys.stdout.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
