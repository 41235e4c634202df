"""Serve the page of one's own account: password, tokens and sessions."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from covid_xray.errors import CovidXrayError
from covid_xray.serving.api.tokens import MOST_DAYS, add_token, revoke
from covid_xray.serving.http import login
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.service import Service
from covid_xray.serving.views.languages import mark
from covid_xray.serving.views.rendering import page
from covid_xray.store.principals import Principal, as_scope

_Secret = Annotated[str, Form(max_length=1000)]
SCOPES = {
    "read": mark("read"),
    "write": mark("read and write, as readers may"),
    "metrics": mark("read the metrics only"),
    "all": mark("all that you may"),
}


def router() -> APIRouter:
    """Build the routes."""
    pages = APIRouter()

    @pages.get("/account")
    def account(service: Server, request: Request, who: Reader) -> Response:
        login.require_session(who)
        return _show(service, request, who)

    @pages.post("/account/password")
    def change_password(
        service: Server, request: Request, who: Reader, current: _Secret = "", new: _Secret = ""
    ) -> Response:
        try:
            login.change_password(service, request, who, current=current, new=new)
        except CovidXrayError as error:
            return _show(service, request, who, refused=error.message, status=error.http_status)
        return _show(service, request, who, saved=mark("The password is changed."))

    @pages.post("/account/tokens")
    def make(
        service: Server,
        request: Request,
        who: Reader,
        name: Annotated[str, Form(max_length=64)] = "",
        scope: Annotated[str, Form(max_length=16)] = "read",
        days: Annotated[int, Form(ge=1, le=MOST_DAYS)] = 365,
    ) -> Response:
        """Make a token and show its secret once."""
        secret = add_token(service, who, name=name, scope=as_scope(scope), days=days)
        return _show(service, request, who, secret=secret)

    @pages.post("/account/tokens/revoke")
    def end_token(service: Server, who: Reader, id: Annotated[str, Form(max_length=64)]) -> Response:
        revoke(service, who, id)
        return RedirectResponse("/account", status_code=303)

    @pages.post("/account/log-out")
    def log_out_everywhere(service: Server, request: Request, who: Reader) -> Response:
        login.require_session(who)
        response = RedirectResponse("/login", status_code=303)
        login.log_out(service, request, response, who, everywhere=True)
        return response

    return pages


def _show(
    service: Service,
    request: Request,
    who: Principal,
    *,
    refused: str = "",
    saved: str = "",
    secret: str = "",
    status: int = 200,
) -> Response:
    facts: dict[str, Any] = {
        "refused": refused,
        "saved": saved,
        "secret": secret,
        "most_days": MOST_DAYS,
        "scopes": SCOPES,
    }
    facts |= {"shortest": service.accounts.shortest_password, "tokens": service.accounts.tokens(who.name)}
    return page(request, "account.html", facts, who=who, status=status)
