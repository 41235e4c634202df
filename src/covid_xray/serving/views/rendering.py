"""A template and facts in, an HTML page out; what all pages share: who asks, the CSRF token, numbers, names and times.

Nothing on a page comes from elsewhere, and no page holds a script or style of its own: the policy in shields.py
forbids both.
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
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.inference.opacity import opacity_in_words
from covid_xray.serving.http import access
from covid_xray.store.accounts import Principal

_FOLDER = Path(__file__).parents[1] / "web" / "templates"
NAMES = {"covid": "COVID-19", "virus": "Viral pneumonia", "normal": "Normal", "cannot say": "Cannot say"}


def page(
    request: Request, template: str, facts: Mapping[str, Any], *, who: Principal | None, status: int = 200
) -> Response:
    """The page of a template.

    Args:
        request: of the browser; one without a cookie gets one, to which its CSRF token belongs.
        template: file name in `web/templates`.
        facts: what the template needs besides what all need.
        who: asks; `None` on the pages before the login.
        status: of the response.
    """
    token, fresh = access.page_token(request)
    model = access.service_of(request).predictor.identity
    shared = {"who": who, "csrf_token": token, "model": model, "partial": is_partial(request)}
    response = _TEMPLATES.TemplateResponse(request, template, {**shared, **facts}, status_code=status)
    if fresh:
        access.set_cookie(request, response, fresh)
    return response


def bare(template: str, facts: Mapping[str, Any]) -> str:
    """The page of a template that needs neither a request nor a running service."""
    return _TEMPLATES.get_template(template).render({"who": None, "csrf_token": "", "partial": False, **facts})


def is_partial(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def percent(share: float | None) -> str:
    """0.914 as `91.4 %`; what rounds to nothing or to all keeps its doubt."""
    if share is None or not math.isfinite(share):
        return "no number"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def figure(value: float | None) -> str:
    """A figure of the evaluation with three digits; `not defined` where there is none."""
    return "not defined" if value is None or not math.isfinite(value) else f"{value:.3f}"


def named(label: str) -> str:
    """A class as readers know it; a class of another network keeps its own name."""
    return NAMES.get(label, label)


def sentence(words: str) -> str:
    """Words as a sentence: a capital, a full stop."""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


def capital(words: str) -> str:
    """A capital at the beginning, the rest as it is: `SpO2` stays."""
    return f"{words[:1].upper()}{words[1:]}"


def moment(time: datetime) -> str:
    """`2026-11-25 08:15`, in UTC; a script turns it into the reader's own time."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def whole(number: int) -> str:
    """A count with its thousands apart."""
    return f"{number:,}"


def _templates() -> Jinja2Templates:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (percent, figure, named, sentence, capital, moment, whole, opacity_in_words)
    environment.filters |= {it.__name__: it for it in filters}
    environment.globals |= {"disclaimer": DISCLAIMER, "house_version": __version__}
    return Jinja2Templates(env=environment)


_TEMPLATES = _templates()
