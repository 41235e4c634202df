"""Every error as RFC 9457 problem+json: what the HTTP status means, the stable code of errors.py, and a safe sentence.

Nothing of the request comes back in it, and nothing of an unforeseen exception but its type reaches the log.
"""

import logging
import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

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
    """One problem as a response."""
    about = {
        "type": f"urn:covid-xray:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return JSONResponse(about | more, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Turn every exception that a route may raise into a problem."""
    app.add_exception_handler(CovidXrayError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)


def of_error(error: CovidXrayError) -> JSONResponse:
    """The problem that an error of the house is."""
    headers = {}
    if isinstance(error, Busy) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotLoggedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="covid-xray"'
    return problem(error.http_status, error.code, error.message, headers=headers)


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, CovidXrayError)
    _count(request, error.code)
    if isinstance(error, NotLoggedIn) and _is_page(request):
        here = quote(request.url.path, safe="/")
        if request.headers.get("HX-Request"):
            return Response(status_code=401, headers={"HX-Redirect": f"/login?next={here}"})
        return RedirectResponse(f"/login?next={here}", status_code=303)
    return of_error(error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    _count(request, "invalid-request")
    places = [{"where": ".".join(map(str, e["loc"])), "expected": e["msg"]} for e in error.errors()]
    names = ", ".join(place["where"] for place in places)
    return problem(422, "invalid-request", f"expected a valid value. Received: another for {names}", errors=places)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if late := request.scope.get("covid_xray.late"):  # FastAPI hides what happened while it read a body
        return _known(request, late)
    code = _CODES.get(error.status_code, "bad-request")
    _count(request, code)
    detail = f"expected another request. Received: one that ends as {HTTPStatus(error.status_code).phrase.lower()}"
    return problem(error.status_code, code, detail, headers=dict(error.headers or {}))


def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads this: the client went away in the middle of its upload."""
    _count(request, "cut-off")
    return problem(400, "cut-off", "expected a whole request. Received: one that breaks off")


def _unforeseen(request: Request, error: Exception) -> Response:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "covid_xray" in f.filename]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames[::-1])
    _LOG.error("unforeseen %s at %s", type(error).__name__, place)
    _count(request, "failed")
    return problem(500, "failed", "expected to answer. Received: an unforeseen error, which the server's log names")


def _count(request: Request, code: str) -> None:
    service = getattr(request.app.state, "service", None)
    if service:
        service.gauges.refusals.labels(code).inc()


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
