"""Serve the pages of audit log and drift, which admins see."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from covid_xray.inference.drift.checks import EVERY, WINDOW
from covid_xray.serving.api.lists import parse_day
from covid_xray.serving.http.access import Admin, Server
from covid_xray.serving.pages.worklist_pages import day_end, day_start
from covid_xray.serving.views import drift_charts
from covid_xray.serving.views.rendering import page
from covid_xray.store import audit_log
from covid_xray.store.drift import rows

PER_PAGE = 100
CHECKS_SHOWN = 400


def router() -> APIRouter:
    """Build the routes."""
    pages = APIRouter()

    @pages.get("/audit")
    def audit(
        service: Server,
        request: Request,
        who: Admin,
        fields: AuditFields,
        page_number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
    ) -> Response:
        """Show the lines of the audit log that match the form."""
        service.audit.record(who, "read-log")
        database, offset = service.store.database, (page_number - 1) * PER_PAGE
        entries = audit_log.read(database, _audit_query(fields), limit=PER_PAGE + 1, offset=offset)
        facts = {"entries": entries[:PER_PAGE], "more": len(entries) > PER_PAGE, "number": page_number}
        facts |= {"given": fields, "actions": audit_log.actions(database), "days": service.settings.audit_days}
        facts |= {"query": urlencode(fields), "csv": urlencode(_csv_fields(fields))}
        return page(request, "audit.html", facts, who=who)

    @pages.get("/monitor")
    def monitor(service: Server, request: Request, who: Admin) -> Response:
        """Show the tests for drift over time."""
        status = service.drift.status(limit=CHECKS_SHOWN)
        answers = rows.counts(service.store.database).get("answer", {})
        facts = {
            "status": status,
            "said": drift_charts.status_words(status),
            "charts": drift_charts.charts(status.checks),
            "days": drift_charts.days(answers),
        }
        return page(request, "monitor.html", {**facts, "every": EVERY, "window": WINDOW}, who=who)

    return pages


def _audit_fields(
    who: Annotated[str, Query(max_length=64)] = "",
    action: Annotated[str, Query(max_length=64)] = "",
    what: Annotated[str, Query(max_length=64)] = "",
    address: Annotated[str, Query(max_length=64)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    refused: Annotated[str, Query(max_length=4)] = "",
) -> dict[str, str]:
    """Read the fields of the form; empty ones and invalid days are no filters."""
    days = {"since": parse_day(since), "until": parse_day(until)}
    given = {"who": who, "action": action, "what": what, "address": address, "refused": "1" if refused else ""}
    given |= {name: day.isoformat() if day else "" for name, day in days.items()}
    return {name: value for name, value in given.items() if value}


AuditFields = Annotated[dict[str, str], Depends(_audit_fields)]


def _audit_query(fields: Mapping[str, str]) -> audit_log.AuditQuery:
    since, until = parse_day(fields.get("since", "")), parse_day(fields.get("until", ""))
    return audit_log.AuditQuery(
        who=fields.get("who"),
        action=fields.get("action"),
        what=fields.get("what"),
        address=fields.get("address"),
        since=day_start(since) if since else None,
        until=day_end(until) if until else None,
        refused="refused" in fields,
    )


def _csv_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Convert the form to the query of `/api/v1/audit.csv`."""
    query = _audit_query(fields)
    times = {name: time.isoformat() for name in ("since", "until") if (time := getattr(query, name))}
    return {**fields, **times} | ({"refused": "true"} if query.refused else {})
