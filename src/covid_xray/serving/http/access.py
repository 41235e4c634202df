"""Who asks, what they may do, and whether it was them: sessions and bearer tokens, roles, cross-site requests, rates.

While there is no user and no token, the server listens to this machine only and whoever asks is `local`, with all
rights. As soon as there is one, everybody must say who they are.

A browser sends cookies along for any site that asks it to. So a request that changes something must come from our own
pages: its `Origin` is ours, and it brings the token that only our pages know, in the header `X-CSRF-Token` or the form
field `csrf_token`. A bearer token is sent by nobody's browser unasked, and needs neither.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from covid_xray.errors import CovidXrayError, NotAllowed, NotLoggedIn
from covid_xray.serving.service import Service
from covid_xray.store.accounts import Principal, Role, equal_secrets

COOKIE = "covid-xray-session"
LOCAL = Principal("local", "admin", "local")  # whoever asks, where nobody must say who they are
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BROWSER = ("origin", "sec-fetch-site", "cookie")  # a program that is no browser sends none of them


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def service_of(request: Request) -> Service:
    """The service behind a request, for `Depends`."""
    service: Service = request.app.state.service
    return service


def client_of(request: Request) -> str:
    """The address that a request comes from, for rates; never logged."""
    return request.client.host if request.client else "unknown"


def principal_of(request: Request) -> Principal:
    """Who asks. Raises `NotLoggedIn` when they must say so and do not."""
    service = service_of(request)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return _of_bearer(service, bearer.strip())
    user = service.accounts.user_of_session(cookie) if (cookie := request.cookies.get(COOKIE)) else None
    if user:
        return Principal(user.name, user.role, "session")
    if not locked(service):
        return LOCAL
    raise NotLoggedIn("expected a session or a bearer token. Received: neither, or one that has ended")


def locked(service: Service) -> bool:
    """Whether anybody must say who they are; so it is when others can reach the server, or the database is silent."""
    if service.settings.token is not None or not is_loopback(service.settings.host):
        return True
    try:
        return service.accounts.has_users()
    except CovidXrayError:
        return True


def guard(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that lets `role` pass (an admin passes everywhere) and returns who it is.

    Raises:
        NotLoggedIn: nobody known.
        NotAllowed: the role is not enough (`not-allowed`), or another site made the browser ask (`cross-site`).
        TooOften: more requests than one may send.
    """

    async def check(request: Request) -> Principal:
        service = service_of(request)
        service.requests.spend(client_of(request))
        named = "authorization" in request.headers or COOKIE in request.cookies
        # Who says no name needs no look into the database, and so no thread.
        who = await _in_thread(principal_of, request) if named or locked(service) else LOCAL
        if role == "admin" and who.role != "admin":
            raise NotAllowed("expected an admin. Received: a reader")
        if request.method not in _SAFE and who.how != "token":
            await check_site(request)
        return who

    return check


async def check_site(request: Request) -> None:
    """Let a changing request pass that comes from our own pages or from no browser at all. Raises `NotAllowed`."""
    if not any(name in request.headers for name in _BROWSER):
        return
    origin = request.headers.get("origin")
    if origin is not None and origin != own_origin(request):
        raise _cross_site()
    cookie = request.cookies.get(COOKIE)
    given = request.headers.get("x-csrf-token") or await _form_token(request)
    if not cookie or not equal_secrets(given, csrf_token(service_of(request), cookie)):
        raise _cross_site()


def csrf_token(service: Service, cookie: str) -> str:
    """The token that belongs to a session cookie; pages put it into their forms and headers."""
    return hmac.new(service.secret, cookie.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def page_token(request: Request) -> tuple[str, str | None]:
    """The CSRF token for a page, and the cookie that `set_cookie` must give to a visitor who has none yet."""
    cookie = request.cookies.get(COOKIE)
    fresh = None if cookie else secrets.token_urlsafe(32)
    return csrf_token(service_of(request), cookie or fresh or ""), fresh


def set_cookie(request: Request, response: Response, cookie: str) -> None:
    """Give the browser a session cookie that no script reads and no other site sends."""
    service = service_of(request)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=round(3600 * service.settings.session_hours),
        path="/",
        httponly=True,
        samesite="strict",
        secure=own_origin(request).startswith("https:"),
    )


def own_origin(request: Request) -> str:
    """Scheme, host and port that the browser shows for this server."""
    public = service_of(request).settings.public_url
    parts = urlsplit(public if public else str(request.base_url))
    return f"{parts.scheme}://{parts.netloc}"


async def _form_token(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return ""
    value = (await request.form()).get("csrf_token")
    return value if isinstance(value, str) else ""


def _of_bearer(service: Service, bearer: str) -> Principal:
    token = service.settings.token
    if token is not None and equal_secrets(bearer, token.get_secret_value()):
        return Principal("token", "admin", "token")
    user = service.accounts.user_of_token(bearer)
    if user is None:
        raise NotLoggedIn("expected a bearer token of this server. Received: another", code="bad-token")
    return Principal(user.name, user.role, "token")


def _cross_site() -> NotAllowed:
    return NotAllowed(
        "expected a request of this server's own pages, with its Origin and CSRF token. Received: another's",
        code="cross-site",
    )


async def _in_thread(function: Callable[[Request], Principal], request: Request) -> Principal:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, request)


Reader = Annotated[Principal, Depends(guard("reader"))]
Admin = Annotated[Principal, Depends(guard("admin"))]
Server = Annotated[Service, Depends(service_of)]
same_site = Depends(check_site)
