"""Find figures that do not say how many units they rest on."""

from typing import Any


def without_n(value: Any, place: str = "") -> list[str]:
    """List the places of intervals without `n` in the content of a JSON file."""
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in without_n(item, f"{place}.{i}")]
    if not isinstance(value, dict):
        return []
    found = [place] if "ci_low" in value and "n" not in value else []
    return found + [deeper for key, item in value.items() for deeper in without_n(item, f"{place}.{key}")]
