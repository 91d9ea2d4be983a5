"""What stands where no text belongs, by its form."""

import tracemalloc

from gateway.openai_api.strays import forms


def test_long_names_of_fields_are_not_kept() -> None:
    """They do not come again, and a client may send thousands of them."""
    tracemalloc.start()
    try:
        for number in range(30):
            forms.is_opaque(f"{number}" + "a" * 20_000, "gpt-4.1")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000
