"""Render the doctor's JSON as a self-contained HTML page."""

from pathlib import Path
from typing import Any

import jinja2


def page(diagnosis: dict[str, Any]) -> str:
    """Render `doctor.as_json` as HTML; every value is escaped."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("doctor.html").render(**diagnosis, number=shown)


def shown(number: float | None) -> str:
    """Format a measure: whole counts with commas, shares and V with two digits, "not known" for null."""
    if number is None:
        return "not known"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:.2f}"
