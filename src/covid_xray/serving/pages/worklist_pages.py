"""Serve the worklist page, which refreshes itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from covid_xray.serving.api.lists import parse_day
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.views.languages import gettext, mark, zone
from covid_xray.serving.views.rendering import page
from covid_xray.serving.views.study_view import ADVICE
from covid_xray.store import refusals, trash, worklist

PER_PAGE = 25
MOST_REFUSALS = 20  # shown
FEEDBACK = {
    "none": mark("Not yet reviewed"),
    "any": mark("Reviewed"),
    "agree": mark("Agreed"),
    "disagree": mark("Disagreed"),
    "correct": mark("Corrected"),
}
SORTS = {
    "suspicion": mark("Most suspicious first"),
    "created": mark("Newest first"),
    "name": mark("File name"),
    "label": mark("Result"),
}
SAID = {"choose-two": mark("Choose two studies to compare.")}


@dataclass(frozen=True)
class WorklistRequest:
    """Filters, order and page that the URL of the worklist asks for."""

    query: worklist.Query
    given: Mapping[str, str]  # the fields of the form, without empty and invalid ones
    page: int  # from 1

    @property
    def place(self) -> dict[str, str]:
        """Return the fields of the URL that lead back to this page of the list."""
        return {**self.given, **({"page": str(self.page)} if self.page > 1 else {})}

    @property
    def is_plain(self) -> bool:
        """Say whether this is the beginning of the list, where refused files stand."""
        return self.page == 1 and not set(self.given) - {"sort", "reverse"}


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
        unsaid_first=True,
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
    def show(
        service: Server,
        request: Request,
        who: Reader,
        asked: ListRequest,
        undo: Annotated[str, Query(pattern="^([0-9a-f]{32})?$")] = "",
        said: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        """Show the worklist, or only its table when htmx asks."""
        database = service.store.database
        found = worklist.page(database, asked.query, limit=PER_PAGE, offset=(asked.page - 1) * PER_PAGE)
        service.audit.record(who, "list")
        refused, all_refused = refusals.waiting(database, limit=MOST_REFUSALS) if asked.is_plain else ([], 0)
        facts: dict[str, Any] = {
            "found": found,
            "grouped": asked.query.label is None,
            "refused": refused,
            "all_refused": all_refused,
            "advice": ADVICE,
            "undo": undo if who.role == "admin" else "",
            "undo_seconds": trash.UNDO_SECONDS,
            "said": gettext(SAID[said]) if said in SAID else "",
            "zone_name": getattr(zone(), "key", "UTC"),
            "given": asked.given,
            "number": asked.page,
            "pages": max(1, -(-found.total // PER_PAGE)),
            "per_page": PER_PAGE,
            "query": query_string(asked.place),
            "csv": query_string(_csv_fields(asked)),
            "labels": worklist.labels(database),
            "origins": worklist.origins(database),
            "feedbacks": FEEDBACK,
            "sorts": SORTS,
            "page_link": lambda number: query_string({**asked.given, "page": str(number)}),
        }
        return page(request, "worklist.html", facts, who=who)

    @pages.post("/refusals/{id}/seen")
    def dismiss(service: Server, who: Reader, id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")]) -> Response:
        """Take a refused file off the list."""
        refusals.mark_seen(service.store.database, id)
        service.audit.record(who, "refusal-seen", id)
        return RedirectResponse("/worklist", status_code=303)

    return pages


def query_string(fields: Mapping[str, str]) -> str:
    """Format `?a=b`, or nothing."""
    return f"?{urlencode(fields)}" if fields else ""


def _csv_fields(asked: WorklistRequest) -> dict[str, str]:
    """Convert the query to that of `/api/v1/studies.csv`."""
    times = {"since": asked.query.since, "until": asked.query.until}
    rest = {key: value for key, value in asked.given.items() if key not in times}
    return rest | {key: value.isoformat() for key, value in times.items() if value}


def day_start(day: date) -> datetime:
    """Return the first moment of a day where the reader is, in UTC."""
    return datetime.combine(day, time(), zone()).astimezone(UTC)


def day_end(day: date) -> datetime:
    """Return the last moment of a day where the reader is, in UTC."""
    return day_start(day + timedelta(days=1)) - timedelta(microseconds=1)
