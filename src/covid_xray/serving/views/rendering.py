"""Render templates with the values that all pages share, and format numbers, names and times.

The content security policy (`security_headers.py`) forbids inline scripts and styles and anything from another site.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request, Response
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from covid_xray import __version__
from covid_xray.serving.http import access
from covid_xray.serving.views import languages
from covid_xray.serving.views.languages import count, decimal, gettext, moment
from covid_xray.serving.views.page_words import WORDS
from covid_xray.serving.views.phrases import display_name, opacity_words, site_words, words
from covid_xray.serving.views.reading import headline
from covid_xray.store.principals import Principal

_FOLDER = Path(__file__).parents[1] / "web" / "templates"


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
    shared: dict[str, Any] = {"who": who, "csrf_token": token, "model": service.predictor.identity}
    shared |= {"partial": is_partial(request), "address": _address(request)}
    shared["idle_seconds"] = round(60 * service.settings.idle_minutes) if who and who.how == "session" else 0
    alarm = service.drift.alarm if who and who.role == "admin" else None
    shared["drift_alarm"] = alarm.kind if alarm else None
    response = _TEMPLATES.TemplateResponse(request, template, {**shared, **facts}, status_code=status)
    if fresh:
        access.set_cookie(request, response, fresh)
    return response


def render_bare(template: str, facts: Mapping[str, Any]) -> str:
    """Render a template that needs neither a request nor a running service."""
    shared = {"who": None, "csrf_token": "", "partial": False, "drift_alarm": None, "address": "/", "idle_seconds": 0}
    return _TEMPLATES.get_template(template).render({**shared, **facts})


def is_partial(request: Request) -> bool:
    """Say whether htmx requests a part of a page."""
    return request.headers.get("hx-request") == "true"


def disclaimer_text() -> str:
    """Return the disclaimer as a sentence of its own."""
    return gettext("Research use, not for diagnosis.")


def percent(share: float | None) -> str:
    """Format 0.914 as `91.4 %`; values near 0 and 1 become `< 0.1 %` and `> 99.9 %`."""
    if share is None or not math.isfinite(share):
        return gettext("no number")
    if 0 < share < 0.0005:
        return f"< {decimal(0.1, digits=1)} %"
    if 0.9995 <= share < 1:
        return f"> {decimal(99.9, digits=1)} %"
    return f"{decimal(100 * share, digits=1)} %"


def figure(value: float | None) -> str:
    """Format a metric with three digits; `not defined` when there is none."""
    return gettext("not defined") if value is None or not math.isfinite(value) else decimal(value, digits=3)


def sentence(words: str) -> str:
    """Turn words into a sentence: capital first letter, full stop of the language."""
    stop = gettext(".")
    return f"{capital(words)}{'' if words.endswith(('.', stop)) else stop}"


def capital(words: str) -> str:
    """Capitalise the first letter only: `SpO2` stays."""
    return f"{words[:1].upper()}{words[1:]}"


def with_code(text: str) -> Markup:
    """Show what stands between backticks as code."""
    parts = re.split("`([^`]+)`", text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def foreign(text: str) -> Markup:
    """Translate a sentence of the server; one that no catalogue has is marked as English."""
    told = words(text)
    if told != text or languages.current().code == "en":
        return with_code(told)
    return Markup('<bdi lang="en" dir="ltr">{}</bdi>').format(with_code(told))


def _address(request: Request) -> str:
    """Return path and query of a page, to come back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _at_request(apply: Callable[..., str]) -> Callable[..., str]:
    """Keep Jinja from applying a filter to a constant once for all: what it gives depends on the request's language."""

    @jinja2.pass_context
    def filter(_: jinja2.runtime.Context, *values: Any) -> str:
        return apply(*values)

    return filter


def _templates() -> Jinja2Templates:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: tuple[Callable[..., str], ...] = (percent, figure, display_name, sentence, capital, words, opacity_words)
    filters += (site_words, with_code, foreign)
    named = {it.__name__: it for it in filters} | {"thousands": count, "timestamp": moment}
    environment.filters |= {name: _at_request(it) for name, it in named.items()}
    environment.globals |= {"disclaimer_text": disclaimer_text, "house_version": __version__, "_": gettext}
    environment.globals |= {"languages": languages.LANGUAGES, "language": languages.current}
    environment.globals |= {"reviewer": languages.reviewer, "script_words": WORDS, "headline": headline}
    return Jinja2Templates(env=environment)


_TEMPLATES = _templates()
