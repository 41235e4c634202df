"""Serve the worklist page, which refreshes itself."""

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
SORTS = {"suspicion": "Most suspicious first", "created": "Newest first", "name": "File name", "label": "Result"}


@dataclass(frozen=True)
class WorklistRequest:
    """Filters, order and page that the URL of the worklist asks for."""

    query: worklist.Query
    given: Mapping[str, str]  # the fields of the form, without empty and invalid ones
    page: int  # from 1


def parse_request(
    q: Annotated[str, Query(max_length=200)] = "",
    label: Annotated[str, Query(max_length=64)] = "",
    origin: Annotated[str, Query(max_length=64)] = "",
    feedback: Annotated[str, Query(max_length=16)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    sort: Annotated[str, Query(max_length=16)] = "",
    reverse: Annotated[str, Query(max_length=4)] = "",
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
) -> WorklistRequest:
    """Parse the URL; empty fields are no filters, and invalid ones are ignored."""
    first, last = parse_day(since), parse_day(until)
    state = cast(worklist.FeedbackState, feedback) if feedback in get_args(worklist.FeedbackState) else None
    order = cast(worklist.Sort, sort) if sort in get_args(worklist.Sort) else "suspicion"
    query = worklist.Query(
        search=q,
        label=label or None,
        origin=origin or None,
        feedback=state,
        since=day_start(first) if first else None,
        until=day_end(last) if last else None,
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
    return WorklistRequest(query, {key: value for key, value in given.items() if value}, page)


ListRequest = Annotated[WorklistRequest, Depends(parse_request)]


def router() -> APIRouter:
    """Build the route."""
    pages = APIRouter()

    @pages.get("/worklist")
    def show(service: Server, request: Request, who: Reader, asked: ListRequest) -> Response:
        """Show the worklist, or only its table when htmx asks."""
        database = service.store.database
        found = worklist.page(database, asked.query, limit=PER_PAGE, offset=(asked.page - 1) * PER_PAGE)
        service.audit.record(who, "list")
        facts: dict[str, Any] = {
            "found": found,
            "given": asked.given,
            "number": asked.page,
            "pages": max(1, -(-found.total // PER_PAGE)),
            "per_page": PER_PAGE,
            "query": query_string(asked.given),
            "csv": query_string(_csv_fields(asked)),
            "labels": worklist.labels(database),
            "origins": worklist.origins(database),
            "feedbacks": FEEDBACK,
            "sorts": SORTS,
            "page_link": lambda number: query_string({**asked.given, "page": str(number)}),
        }
        return page(request, "worklist.html", facts, who=who)

    return pages


def query_string(fields: Mapping[str, str]) -> str:
    """Format `?a=b`, or nothing."""
    return f"?{urlencode(fields)}" if fields else ""


def _csv_fields(asked: WorklistRequest) -> dict[str, str]:
    """Convert the query to that of `/api/v1/studies.csv`."""
    times = {"since": asked.query.since, "until": asked.query.until}
    rest = {key: value for key, value in asked.given.items() if key not in times}
    return rest | {key: value.isoformat() for key, value in times.items() if value}


def parse_day(text: str) -> date | None:
    """Parse `2026-11-25`; `None` for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def day_start(day: date) -> datetime:
    """Return the first moment of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def day_end(day: date) -> datetime:
    """Return the last moment of a day in UTC."""
    return day_start(day) + timedelta(days=1) - timedelta(microseconds=1)
