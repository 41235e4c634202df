"""Authenticate requests by session cookie or bearer token, and check role, scope, origin and rate.

Without any user and token the server listens on this machine only, and every request is `local` with all rights. With
the first user or token everybody must log in. So must everybody whose request came through a proxy, and after the last
user was removed. When the database cannot be read, requests are refused with 503.

Browsers send cookies along with requests that other sites make. So a changing request of a browser must come from our
own pages: its `Origin` is ours, and it carries the CSRF token of its cookie in the header `X-CSRF-Token` or the form
field `csrf_token`. Bearer tokens are never sent unasked and need neither.
"""

import contextlib
import dataclasses
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from covid_xray.config import Serving
from covid_xray.errors import Busy, CovidXrayError, NotAllowed, NotLoggedIn
from covid_xray.serving.prometheus import route_template
from covid_xray.serving.service import Service
from covid_xray.store.accounts import equal_secrets
from covid_xray.store.principals import Principal, Role

COOKIE = "covid-xray-session"
LOCAL = Principal("local", "admin", "local")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_BACKGROUND = "x-background"  # header of the requests that an open page makes by itself
_LOOPBACK = ("127.0.0.1", "::1")
_BROWSER_HEADERS = ("origin", "sec-fetch-site", "cookie")  # other clients send none of them


def is_loopback(host: str) -> bool:
    """Say whether an address or name can be reached from this machine only."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def service_of(request: Request) -> Service:
    """Return the service that handles a request, for `Depends`."""
    service: Service = request.app.state.service
    return service


def client_address(request: Request) -> str:
    """Return the address of the client, for rate limits and the audit log; no other log has it."""
    return request.client.host if request.client else "unknown"


def trusted_proxies(settings: Serving) -> list[str]:
    """List the addresses and networks whose `X-Forwarded-For` is believed."""
    return [*settings.trusted_proxies, *(_LOOPBACK if settings.public_url else ())]


def reachable_by_others(settings: Serving) -> bool:
    """Say whether other machines can reach the server, directly or through a proxy."""
    return bool(settings.public_url or settings.trusted_proxies) or not is_loopback(settings.host)


def login_required(service: Service, headers: Mapping[str, str]) -> bool:
    """Say whether a request with these headers must authenticate.

    It must when the server has or ever had a user, has a token or an OpenID provider, or can be reached by others, or
    when the request came through a proxy. Raises `Busy` (`store-unavailable`) when the database cannot be read.
    """
    settings = service.settings
    if settings.token is not None or settings.openid is not None or reachable_by_others(settings):
        return True
    return any(name in headers for name in _PROXY_HEADERS) or service.accounts.has_users()


def require_role(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """Build the dependency that authenticates a request and requires `role` or admin.

    It raises:
        NotLoggedIn: authentication is missing or wrong.
        NotAllowed: the role (`not-allowed`) or scope (`out-of-scope`) is not enough, or another site made the browser
            ask (`cross-site`); the audit log gets a line.
        TooOften: over the rate limit, or too many wrong tokens from this address.
        Busy: the database cannot be read (`store-unavailable`).
    """

    async def check(request: Request) -> Principal:
        service, address = service_of(request), client_address(request)
        service.requests.spend(address)
        named = "authorization" in request.headers or COOKIE in request.cookies
        try:  # only a request with credentials needs the database, and so a thread
            locked = named or login_required(service, request.headers)
            found = await run_in_threadpool(_authenticate, request) if locked else LOCAL
        except (Busy, NotAllowed):
            raise
        except CovidXrayError:
            message = "The database of the users cannot be read. Try again later, or look into the log."
            raise Busy(message, code="store-unavailable", retry_after=5) from None
        who = dataclasses.replace(found, address=address)
        try:
            _check_rights(request, who, role)
            if request.method not in _SAFE_METHODS and who.how != "token":
                await check_same_site(request)
        except NotAllowed as error:
            with contextlib.suppress(CovidXrayError):  # the request is refused anyway
                route = route_template(request.scope)
                await run_in_threadpool(service.audit.record, who, "refused", route, code=error.code)
            raise
        return who

    return check


def _check_rights(request: Request, who: Principal, role: Role) -> None:
    """Raise `NotAllowed` when the role (`not-allowed`) or the token's scope (`out-of-scope`) is not enough."""
    is_metrics, is_safe = request.url.path == "/metrics", request.method in _SAFE_METHODS
    if (who.scope == "metrics" and not is_metrics) or (who.scope == "read" and not is_safe):
        message = f"This token may not do that: its scope is {who.scope!r}. Make one with a wider scope."
        raise NotAllowed(message, code="out-of-scope")
    if role == "admin" and who.role != "admin":
        raise NotAllowed("Only an admin may do this. Ask an admin, or log in as one.")


async def check_same_site(request: Request) -> None:
    """Accept a changing request from our own pages or from a client that is no browser. Raises `NotAllowed`."""
    if not any(name in request.headers for name in _BROWSER_HEADERS):
        return
    origin, cookie = request.headers.get("origin"), request.cookies.get(COOKIE)
    given = request.headers.get("x-csrf-token") or await _csrf_field(request)
    own = origin is None or origin == own_origin(request)
    if not own or not cookie or not equal_secrets(given, csrf_token(service_of(request), cookie)):
        message = "The request does not come from a page of this server. Reload the page and try again."
        raise NotAllowed(message, code="cross-site")


def csrf_token(service: Service, cookie: str) -> str:
    """Derive the CSRF token of a session cookie; pages put it into forms and headers."""
    return hmac.new(service.secret, cookie.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def page_token(request: Request) -> tuple[str, str | None]:
    """Return the CSRF token of a page, and the cookie to set when the browser has none."""
    cookie = request.cookies.get(COOKIE)
    fresh = None if cookie else secrets.token_urlsafe(32)
    return csrf_token(service_of(request), cookie or fresh or ""), fresh


def set_cookie(request: Request, response: Response, cookie: str) -> None:
    """Set the session cookie so that no script reads it and no other site sends it."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=round(3600 * service_of(request).settings.session_hours),
        httponly=True,
        samesite="strict",
        secure=own_origin(request).startswith("https:"),
    )


def own_origin(request: Request) -> str:
    """Return scheme, host and port of this server as the browser sees them."""
    parts = urlsplit(service_of(request).settings.public_url or str(request.base_url))
    return f"{parts.scheme}://{parts.netloc}"


async def _csrf_field(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return ""
    value = (await request.form()).get("csrf_token")
    return value if isinstance(value, str) else ""


def _authenticate(request: Request) -> Principal:
    service = service_of(request)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return _token_holder(request, bearer.strip())
    if cookie := request.cookies.get(COOKIE):
        is_use = _BACKGROUND not in request.headers
        idle = service.settings.idle_minutes
        if user := service.accounts.user_of_session(cookie, idle_minutes=idle, is_use=is_use):
            return Principal(user.name, user.role, "session")
    if not login_required(service, request.headers):
        return LOCAL
    raise NotLoggedIn("Authentication required. Log in, or send a bearer token.")


def _token_holder(request: Request, bearer: str) -> Principal:
    service = service_of(request)
    token = service.settings.token
    if token is not None and equal_secrets(bearer, token.get_secret_value()):
        return Principal("token", "admin", "token")
    if found := service.accounts.user_of_token(bearer):
        user, scope = found
        return Principal(user.name, user.role if scope == "all" else "reader", "token", scope=scope)
    address = client_address(request)
    service.bad_tokens.spend(address)
    service.audit.record(Principal("unknown", "reader", "token", address), "bad-token", code="bad-token")
    message = "Unknown or expired bearer token. `covid-xray user token NAME` makes a new one."
    raise NotLoggedIn(message, code="bad-token")


Reader = Annotated[Principal, Depends(require_role("reader"))]
Admin = Annotated[Principal, Depends(require_role("admin"))]
Server = Annotated[Service, Depends(service_of)]
same_site = Depends(check_same_site)
