"""The worklist as a page: what was asked for in the address in, one page of studies out; it keeps itself up to date."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.views.rendering import page
from covid_xray.store import worklist

PER_PAGE = 25
FEEDBACK = {
    "none": "Not yet reviewed",
    "any": "Reviewed",
    "agree": "Agreed",
    "disagree": "Disagreed",
    "correct": "Corrected",
}
SORTS = {"suspicion": "Most suspicious first", "created": "Newest first", "name": "File name", "label": "Answer"}


@dataclass(frozen=True)
class Asked:
    """What the worklist is asked for.

    Args:
        query: for the store.
        given: the fields of the form as text, without the empty ones; a value that means nothing is left out.
        page: from 1 on.
    """

    query: worklist.Query
    given: Mapping[str, str]
    page: int


def asked(
    q: Annotated[str, Query(max_length=200)] = "",
    label: Annotated[str, Query(max_length=64)] = "",
    origin: Annotated[str, Query(max_length=64)] = "",
    feedback: Annotated[str, Query(max_length=16)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    sort: Annotated[str, Query(max_length=16)] = "",
    reverse: Annotated[str, Query(max_length=4)] = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> Asked:
    """The address as a query. An empty field of the form asks for nothing."""
    first, last = _day(since), _day(until)
    state = cast(worklist.FeedbackState, feedback) if feedback in get_args(worklist.FeedbackState) else None
    order = cast(worklist.Sort, sort) if sort in get_args(worklist.Sort) else "suspicion"
    query = worklist.Query(
        search=q,
        label=label or None,
        origin=origin or None,
        feedback=state,
        since=_midnight(first) if first else None,
        until=_midnight(last) + timedelta(days=1) - timedelta(microseconds=1) if last else None,
        sort=order,
        reverse=bool(reverse),
    )
    given = {
        "q": q,
        "label": label,
        "origin": origin,
        "feedback": state or "",
        "since": first.isoformat() if first else "",
        "until": last.isoformat() if last else "",
        "sort": order if order != "suspicion" else "",
        "reverse": "1" if reverse else "",
    }
    return Asked(query, {key: value for key, value in given.items() if value}, page)


Choice = Annotated[Asked, Depends(asked)]


def router() -> APIRouter:
    """The route."""
    pages = APIRouter()

    @pages.get("/worklist")
    def show(service: Server, request: Request, who: Reader, choice: Choice) -> Response:
        """The whole page, or only its table when htmx asks."""
        database = service.store.database
        found = worklist.page(database, choice.query, limit=PER_PAGE, offset=(choice.page - 1) * PER_PAGE)
        service.audit.record(who, "list")
        facts: dict[str, Any] = {
            "found": found,
            "given": choice.given,
            "number": choice.page,
            "pages": max(1, -(-found.total // PER_PAGE)),
            "per_page": PER_PAGE,
            "query": query_string(choice.given),
            "csv": query_string(_api(choice)),
            "labels": worklist.labels(database),
            "origins": worklist.origins(database),
            "feedbacks": FEEDBACK,
            "sorts": SORTS,
            "page_link": lambda number: query_string({**choice.given, "page": str(number)}),
        }
        return page(request, "worklist.html", facts, who=who)

    return pages


def query_string(fields: Mapping[str, str]) -> str:
    """`?a=b`, or nothing."""
    return f"?{urlencode(fields)}" if fields else ""


def _api(choice: Asked) -> dict[str, str]:
    """The same query for `/api/v1/studies.csv`."""
    times = {"since": choice.query.since, "until": choice.query.until}
    rest = {key: value for key, value in choice.given.items() if key not in times}
    return rest | {key: value.isoformat() for key, value in times.items() if value}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
