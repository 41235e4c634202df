"""Serve the pages for admins: users, audit log and drift."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.inference.drift.checks import EVERY, WINDOW
from covid_xray.serving.http.access import Admin, Server
from covid_xray.serving.service import Service
from covid_xray.serving.views import drift_charts
from covid_xray.serving.views.rendering import page
from covid_xray.store.accounts import SHORTEST_PASSWORD, Principal, as_role
from covid_xray.store.drift import rows

PER_PAGE = 100
CHECKS_SHOWN = 400


def router() -> APIRouter:
    """Build the routes."""
    pages = APIRouter()
    _users(pages)

    @pages.get("/audit")
    def audit(
        service: Server,
        request: Request,
        who: Admin,
        page_number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
    ) -> Response:
        entries = service.store.audit(limit=PER_PAGE + 1, offset=(page_number - 1) * PER_PAGE)
        facts = {"entries": entries[:PER_PAGE], "more": len(entries) > PER_PAGE, "number": page_number}
        return page(request, "audit.html", facts, who=who)

    @pages.get("/monitor")
    def monitor(service: Server, request: Request, who: Admin) -> Response:
        """Show the tests for drift over time."""
        status = service.drift.status(limit=CHECKS_SHOWN)
        answers = rows.counts(service.store.database).get("answer", {})
        facts = {"status": status, "charts": drift_charts.charts(status.checks), "days": drift_charts.days(answers)}
        return page(request, "monitor.html", {**facts, "every": EVERY, "window": WINDOW}, who=who)

    return pages


def _users(pages: APIRouter) -> None:
    @pages.get("/users")
    def users(service: Server, request: Request, who: Admin) -> Response:
        return _list(service, request, who)

    @pages.post("/users")
    def add(
        service: Server,
        request: Request,
        who: Admin,
        name: Annotated[str, Form(max_length=64)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        role: Annotated[str, Form(max_length=16)] = "reader",
    ) -> Response:
        """Add a user. The first must be an admin, since from then on everybody must log in."""
        try:
            if role != "admin" and not service.accounts.all():
                raise InputRefused("The first user must be an admin, since from then on everybody must log in.")
            service.accounts.add(name, password=password, role=as_role(role))
        except CovidXrayError as error:
            return _list(service, request, who, refused=error.message, name=name, status=error.http_status)
        service.audit.record(who, "add-user", name)
        return RedirectResponse("/users", status_code=303)

    @pages.post("/users/remove")
    def remove(service: Server, request: Request, who: Admin, name: Annotated[str, Form(max_length=64)]) -> Response:
        """Remove another user with all sessions and tokens; the last admin stays."""
        try:
            if name == who.name:
                raise InputRefused("You cannot remove yourself. Ask another admin.")
            service.accounts.remove(name)
        except InputRefused as error:
            return _list(service, request, who, refused=error.message, status=error.http_status)
        service.audit.record(who, "remove-user", name)
        return RedirectResponse("/users", status_code=303)


def _list(
    service: Service, request: Request, who: Principal, *, refused: str = "", name: str = "", status: int = 200
) -> Response:
    facts = {"users": service.accounts.all(), "refused": refused, "name": name, "shortest": SHORTEST_PASSWORD}
    return page(request, "users.html", facts, who=who, status=status)
