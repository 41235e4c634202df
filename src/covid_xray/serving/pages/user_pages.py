"""Serve the page of the users: add, remove and unlock them, and set a password that was forgotten."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.serving.http.access import Admin, Server
from covid_xray.serving.service import Service
from covid_xray.serving.views.languages import mark
from covid_xray.serving.views.rendering import page
from covid_xray.store.lockouts import by_name
from covid_xray.store.principals import Principal, as_role

SAID = {
    "password": mark("The password is set. Tell it to the user in person; all their sessions have ended."),
    "unlocked": mark("The user may try again."),
}


def router() -> APIRouter:
    """Build the routes."""
    pages = APIRouter()
    _others(pages)

    @pages.get("/users")
    def users(
        service: Server, request: Request, who: Admin, said: Annotated[str, Query(max_length=20)] = ""
    ) -> Response:
        return _list(service, request, who, said=SAID.get(said, ""))

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

    return pages


def _others(pages: APIRouter) -> None:
    @pages.post("/users/password")
    def set_password(
        service: Server,
        request: Request,
        who: Admin,
        name: Annotated[str, Form(max_length=64)],
        password: Annotated[str, Form(max_length=1000)] = "",
    ) -> Response:
        """Set the password of another user, who may then log in at once; their sessions end."""
        try:
            if name == who.name:
                raise InputRefused("Change your own password on the page of your account.")
            service.accounts.set_password(name, password)
        except CovidXrayError as error:
            return _list(service, request, who, refused=error.message, status=error.http_status)
        service.lockouts.clear(by_name(name))
        service.audit.record(who, "set-password", name)
        return RedirectResponse("/users?said=password", status_code=303)

    @pages.post("/users/unlock")
    def unlock(service: Server, who: Admin, name: Annotated[str, Form(max_length=64)]) -> Response:
        """Let a user try again who is locked out after failed log-ins."""
        service.accounts.require(name)
        service.lockouts.clear(by_name(name))
        service.audit.record(who, "unlock-user", name)
        return RedirectResponse("/users?said=unlocked", status_code=303)


def _list(
    service: Service,
    request: Request,
    who: Principal,
    *,
    refused: str = "",
    said: str = "",
    name: str = "",
    status: int = 200,
) -> Response:
    users = service.accounts.all()
    locked = service.lockouts.locked([by_name(user.name) for user in users])
    facts: dict[str, Any] = {"users": users, "refused": refused, "said": said, "name": name}
    facts |= {"locked": {user.name: locked.get(by_name(user.name)) for user in users}}
    facts["shortest"] = service.accounts.shortest_password
    return page(request, "users.html", facts, who=who, status=status)
