"""The typed content of a small bundle.json, with the facts that a test is about."""

from typing import Any

from covid_xray.bundle.contents import Contents, read_contents

SMALL: dict[str, Any] = {
    "name": "net", "version": "1", "classes": ["covid", "normal", "virus"], "outputs": [], "temperature": 1.0,
    "input": {"height": 8, "width": 8, "pixels_version": 1}, "model": {"sha256": "ab" * 32},
}  # fmt: skip


def contents(**facts: Any) -> Contents:
    return read_contents({**SMALL, **facts})
