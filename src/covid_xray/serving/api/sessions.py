"""Serve /api/v1/login, /logout and /me, for programs that use cookies; the pages have forms of their own."""

from typing import Annotated

import pydantic
from fastapi import APIRouter, Body, Request, Response

from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import example
from covid_xray.serving.http import access
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.service import Service
from covid_xray.store.accounts import Principal


class LoginIn(pydantic.BaseModel):
    """User name and password."""

    model_config = example({"name": "reader", "password": "ten letters or more"}, extra="forbid")

    name: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    password: Annotated[str, pydantic.Field(min_length=1, max_length=1000)]


class WhoOut(pydantic.BaseModel):
    """The authenticated user, and the CSRF token that changing requests with a cookie must send."""

    model_config = example({"name": "reader", "role": "reader", "how": "session", "csrf_token": "0f3a"})

    name: str
    role: str
    how: str
    csrf_token: str


def log_in(service: Service, request: Request, response: Response, *, name: str, password: str) -> None:
    """Start a session and set its cookie; the browser's previous session ends.

    Raises:
        NotLoggedIn: wrong name or password (`bad-login`).
        TooOften: too many failures with this name or from this address.
    """
    clients = (f"address {access.client_address(request)}", f"name {name}")
    for client in clients:
        service.failed_logins.check(client)
    try:
        cookie = service.accounts.log_in(name, password, hours=service.settings.session_hours)
    except Exception:
        for client in clients:
            service.failed_logins.spend(client)
        raise
    if old := request.cookies.get(access.COOKIE):
        service.accounts.log_out(old)
    access.set_cookie(request, response, cookie)
    service.audit.record(Principal(name, "reader", "session"), "log-in", name)


def log_out(service: Service, request: Request, response: Response) -> None:
    """End the session and delete its cookie."""
    if cookie := request.cookies.get(access.COOKIE):
        service.accounts.log_out(cookie)
    response.delete_cookie(access.COOKIE, path="/")


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["sessions"])

    @api.post("/login", status_code=204, responses=problems(422), dependencies=[access.same_site])
    def login(service: Server, request: Request, response: Response, given: Annotated[LoginIn, Body()]) -> None:
        """Start a session; the response sets its cookie."""
        log_in(service, request, response, name=given.name, password=given.password)

    @api.post("/logout", status_code=204, responses=problems())
    def logout(service: Server, request: Request, response: Response, who: Reader) -> None:
        """End the session."""
        log_out(service, request, response)

    @api.get("/me", response_model=WhoOut, responses=problems())
    def me(service: Server, request: Request, response: Response, who: Reader) -> WhoOut:
        """Return the authenticated user and the CSRF token of this browser."""
        token, fresh = access.page_token(request)
        if fresh:
            access.set_cookie(request, response, fresh)
        return WhoOut(name=who.name, role=who.role, how=who.how, csrf_token=token)

    return api
