"""Answer every error as RFC 9457 problem+json: HTTP status, the stable code of errors.py and a safe sentence.

No part of the request comes back in it. Of an unexpected exception only the type and place reach the log.
"""

import logging
import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from covid_xray.errors import Busy, CovidXrayError, NotLoggedIn

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger("covid_xray.serving")
_CODES = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "not-multipart"}


def problem(status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """Build a problem response."""
    title = HTTPStatus(status).phrase
    about = {"type": f"urn:covid-xray:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return JSONResponse(about | more, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Turn every exception of a route into a problem."""
    app.add_exception_handler(CovidXrayError, _own_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


def error_problem(error: CovidXrayError) -> JSONResponse:
    """Build the problem of one of our own errors."""
    headers = {}
    if isinstance(error, Busy) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotLoggedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="covid-xray"'
    return problem(error.http_status, error.code, error.message, headers=headers)


def _own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CovidXrayError)
    _count(request, error.code)
    if isinstance(error, NotLoggedIn) and _is_page(request):
        login = f"/login?next={quote(_place(request), safe='/')}"
        if request.headers.get("HX-Request"):
            return Response(status_code=401, headers={"HX-Redirect": login})
        return RedirectResponse(login, status_code=303)
    return error_problem(error)


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    _count(request, "invalid-request")
    places = [{"where": ".".join(map(str, e["loc"])), "expected": e["msg"]} for e in error.errors()]
    names = ", ".join(place["where"] for place in places)
    message = f"Invalid value for {names}. `errors` says what is accepted."
    return problem(422, "invalid-request", message, errors=places)


def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if late := request.scope.get("covid_xray.late"):  # FastAPI hides what happened while it read a body
        return _own_error(request, late)
    code = _CODES.get(error.status_code, "bad-request")
    _count(request, code)
    detail = f"The request cannot be answered: {HTTPStatus(error.status_code).phrase.lower()}."
    return problem(error.status_code, code, detail, headers=dict(error.headers or {}))


def _disconnected(request: Request, error: Exception) -> Response:
    """Count an upload that the client broke off; the response is not read."""
    _count(request, "cut-off")
    return problem(400, "cut-off", "The request broke off before its end. Send it again.")


def _unexpected(request: Request, error: Exception) -> Response:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "covid_xray" in f.filename]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[::-1])
    _LOG.error("unexpected %s at %s", type(error).__name__, place)
    _count(request, "failed")
    return problem(500, "failed", "The server failed on this request; its log says where. Try again.")


def _count(request: Request, code: str) -> None:
    if service := getattr(request.app.state, "service", None):
        service.metrics.refusals.labels(code).inc()


def _place(request: Request) -> str:
    """Return the page to come back to after the log-in: the page itself, or that of the form which was sent."""
    if request.method in ("GET", "HEAD"):
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    page = urlsplit(request.headers.get("referer", ""))
    return (page.path or "/") + (f"?{page.query}" if page.query else "")


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
