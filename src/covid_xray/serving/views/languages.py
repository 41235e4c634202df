"""Translate the words of pages and reports, and format numbers and times, for the language and zone of one request.

The catalogues are gettext files in `serving/locales`. `Languages` sets language and zone of a request from its cookies,
else from `Accept-Language`; outside of a request both are English and UTC.
"""

import io
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from babel import Locale, dates, negotiate_locale, numbers
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import Request

LANGUAGE_COOKIE, ZONE_COOKIE = "covid-xray-language", "covid-xray-zone"
FOLDER = Path(__file__).parents[1] / "locales"
_REVIEWED = re.compile(r"^# Reviewed by:[ ]*(\S.*)$", re.MULTILINE)  # in the head of a catalogue: a clinician


@dataclass(frozen=True)
class Language:
    """A language of the pages: its code, its own name, and the locale of its numbers and dates."""

    code: str
    name: str
    locale: str
    direction: str = "ltr"


LANGUAGES: Mapping[str, Language] = {
    language.code: language
    for language in (
        Language("en", "English", "en_GB"),
        Language("de", "Deutsch", "de"),
        Language("es", "Español", "es"),
        Language("fr", "Français", "fr"),
        Language("ar", "العربية", "ar", "rtl"),
        Language("zh", "中文", "zh_Hans_CN"),
    )
    if language.code == "en" or (FOLDER / language.code).is_dir()
}
_language: ContextVar[str] = ContextVar("language", default="en")
_zone: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


class Languages:
    """ASGI middleware that sets language and zone for everything that handles a request.

    Args:
        default: language of browsers that ask for none of ours.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], *, default: str = "en") -> None:
        self.app, self.default = app, default

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            request = Request(scope)
            _language.set(choose(request, default=self.default))
            _zone.set(zone_of(request.cookies.get(ZONE_COOKIE, "")) or UTC)
        await self.app(scope, receive, send)


def choose(request: Request, *, default: str = "en") -> str:
    """Choose the language of a request: its cookie, else what the browser prefers, else `default`."""
    if (chosen := request.cookies.get(LANGUAGE_COOKIE, "")) in LANGUAGES:
        return chosen
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    return negotiate_locale([tag.replace("-", "_") for tag in wanted], list(LANGUAGES)) or default


def zone_of(name: str) -> tzinfo | None:
    """Look up a time zone such as `Europe/Berlin`; `None` for an unknown one."""
    try:
        return ZoneInfo(unquote(name)) if name else None
    except (KeyError, ValueError, OSError):  # no such zone, or not a name of one
        return None


def current() -> Language:
    """Return the language of this request."""
    return LANGUAGES[_language.get()]


def zone() -> tzinfo:
    """Return the time zone of this request."""
    return _zone.get()


def use(language: str, zone: tzinfo = UTC) -> None:
    """Set language and zone of what follows in this context, for programs without a request."""
    _language.set(language)
    _zone.set(zone)


def gettext(message: str, **values: object) -> str:
    """Translate a message into the language of this request and fill in its `%(name)s`."""
    text = catalogue(_language.get()).gettext(message) if message else ""
    return text % values if values else text


def mark(message: str) -> str:
    """Mark a message for the catalogues; it is translated where it is shown."""
    return message


def reviewer(code: str) -> str:
    """Return the clinician who reviewed a catalogue; empty where it was not reviewed. English is the source."""
    if code == "en":
        return "source"
    found = _REVIEWED.search(read_catalogue(code).header_comment)
    return found[1] if found else ""


@lru_cache(maxsize=len(LANGUAGES))
def read_catalogue(code: str) -> Catalog:
    """Read the catalogue of a language other than English."""
    with (FOLDER / code / "LC_MESSAGES" / "messages.po").open("rb") as source:
        return read_po(source, locale=code)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(code: str) -> NullTranslations:
    """Compile the catalogue of a language."""
    if code == "en":
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, read_catalogue(code))
    compiled.seek(0)
    return Translations(compiled)


def decimal(value: float, *, digits: int) -> str:
    """Format a number with so many digits after the decimal sign of the language."""
    return str(numbers.format_decimal(value, format=f"0.{'0' * digits}" if digits else "0", locale=_locale()))


def count(number: int) -> str:
    """Format a count with thousands separators."""
    return str(numbers.format_decimal(number, locale=_locale()))


def moment(time: datetime) -> str:
    """Format date and time in the language and zone of this request."""
    local, locale = time.astimezone(zone()), _locale()
    day = dates.format_date(local.date(), "medium", locale=locale)
    clock = dates.format_time(local, "short", locale=locale)
    return f"{day}, {clock}"


def _locale() -> Locale:
    return Locale.parse(current().locale)
