"""Serve /api/v1/login, /logout, /password and /me, for programs that use cookies; the pages have forms of their own."""

from typing import Annotated

import pydantic
from fastapi import APIRouter, Body, Query, Request, Response

from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import example
from covid_xray.serving.http import access, login
from covid_xray.serving.http.access import Reader, Server

Secret = Annotated[str, pydantic.Field(min_length=1, max_length=1000)]


class LoginIn(pydantic.BaseModel):
    """User name and password."""

    model_config = example({"name": "reader", "password": "a few unrelated words"}, extra="forbid")

    name: Annotated[str, pydantic.Field(min_length=1, max_length=64)]
    password: Secret


class PasswordIn(pydantic.BaseModel):
    """The current password and the new one."""

    model_config = example({"current": "a few unrelated words", "new": "some other words in a row"}, extra="forbid")

    current: Secret
    new: Secret


class WhoOut(pydantic.BaseModel):
    """The authenticated user, and the CSRF token that changing requests with a cookie must send."""

    model_config = example({"name": "reader", "role": "reader", "how": "session", "scope": "all", "csrf_token": "0f3a"})

    name: str
    role: str
    how: str
    scope: str
    csrf_token: str


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["sessions"])

    @api.post("/login", status_code=204, responses=problems(422), dependencies=[access.same_site])
    def log_in(service: Server, request: Request, response: Response, given: Annotated[LoginIn, Body()]) -> None:
        """Start a session; the response sets its cookie."""
        login.log_in(service, request, response, name=given.name, password=given.password)

    everywhere = Query(description="End the user's other sessions too.")

    @api.post("/logout", status_code=204, responses=problems(422))
    def log_out(
        service: Server,
        request: Request,
        response: Response,
        who: Reader,
        everywhere: Annotated[bool, everywhere] = False,
    ) -> None:
        """End the session."""
        login.log_out(service, request, response, who, everywhere=everywhere and who.how == "session")

    @api.put("/password", status_code=204, responses=problems(422))
    def change_password(service: Server, request: Request, who: Reader, given: Annotated[PasswordIn, Body()]) -> None:
        """Change one's own password; the other sessions end."""
        login.change_password(service, request, who, current=given.current, new=given.new)

    @api.get("/me", response_model=WhoOut, responses=problems())
    def get_me(service: Server, request: Request, response: Response, who: Reader) -> WhoOut:
        """Return the authenticated user and the CSRF token of this browser."""
        token, fresh = access.page_token(request)
        if fresh:
            access.set_cookie(request, response, fresh)
        return WhoOut(name=who.name, role=who.role, how=who.how, scope=who.scope, csrf_token=token)

    return api
