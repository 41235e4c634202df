"""Render templates with the values that all pages share, and format numbers, names and times.

The content security policy (`security_headers.py`) forbids inline scripts and styles and anything from another site.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request, Response
from fastapi.templating import Jinja2Templates

from covid_xray import __version__
from covid_xray.inference.finding import site_in_words
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.inference.opacity import opacity_in_words
from covid_xray.serving.http import access
from covid_xray.store.principals import Principal

_FOLDER = Path(__file__).parents[1] / "web" / "templates"
NAMES = {"covid": "COVID-19", "virus": "Viral pneumonia", "normal": "Normal", "cannot say": "Cannot say"}


def page(
    request: Request, template: str, facts: Mapping[str, Any], *, who: Principal | None, status: int = 200
) -> Response:
    """Render a page.

    Args:
        request: a browser without a cookie gets one, for its CSRF token.
        template: file name in `web/templates`.
        facts: the values of this template.
        who: the authenticated user; `None` before the login.
        status: HTTP status.
    """
    token, fresh = access.page_token(request)
    service = access.service_of(request)
    shared = {"who": who, "csrf_token": token, "model": service.predictor.identity, "partial": is_partial(request)}
    alarm = service.drift.alarm if who and who.role == "admin" else None
    shared["drift_alarm"] = alarm.kind if alarm else None
    response = _TEMPLATES.TemplateResponse(request, template, {**shared, **facts}, status_code=status)
    if fresh:
        access.set_cookie(request, response, fresh)
    return response


def render_bare(template: str, facts: Mapping[str, Any]) -> str:
    """Render a template that needs neither a request nor a running service."""
    shared = {"who": None, "csrf_token": "", "partial": False, "drift_alarm": None}
    return _TEMPLATES.get_template(template).render({**shared, **facts})


def is_partial(request: Request) -> bool:
    """Say whether htmx requests a part of a page."""
    return request.headers.get("hx-request") == "true"


def percent(share: float | None) -> str:
    """Format 0.914 as `91.4 %`; values near 0 and 1 become `< 0.1 %` and `> 99.9 %`."""
    if share is None or not math.isfinite(share):
        return "no number"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def figure(value: float | None) -> str:
    """Format a metric with three digits; `not defined` when there is none."""
    return "not defined" if value is None or not math.isfinite(value) else f"{value:.3f}"


def display_name(label: str) -> str:
    """Return the name that readers know for a class, or the class itself."""
    return NAMES.get(label, label)


def sentence(words: str) -> str:
    """Turn words into a sentence: capital first letter, full stop."""
    return f"{capital(words)}{'' if words.endswith('.') else '.'}"


def capital(words: str) -> str:
    """Capitalise the first letter only: `SpO2` stays."""
    return f"{words[:1].upper()}{words[1:]}"


def timestamp(time: datetime) -> str:
    """Format a time as `2026-11-25 08:15` in UTC; page.js converts it to local time."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def thousands(number: int) -> str:
    """Format a count with thousands separators."""
    return f"{number:,}"


def _templates() -> Jinja2Templates:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (percent, figure, display_name, sentence, capital, timestamp, thousands, opacity_in_words, site_in_words)
    environment.filters |= {it.__name__: it for it in filters}
    environment.globals |= {"disclaimer": DISCLAIMER, "house_version": __version__}
    return Jinja2Templates(env=environment)


_TEMPLATES = _templates()
