"""Serve the start page, batches and log-in, and collect the routes of the other pages."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from covid_xray.errors import CovidXrayError, NotFound, NotLoggedIn, TooOften
from covid_xray.images.decode import FORMATS
from covid_xray.serving.api.batches import JobId, job_out
from covid_xray.serving.http import access, login, openid
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.pages import account_pages, admin_pages, model_page, study_pages, user_pages, worklist_pages
from covid_xray.serving.pages.study_pages import StudyId, bars_of
from covid_xray.serving.views.languages import LANGUAGE_COOKIE, LANGUAGES
from covid_xray.serving.views.reading import scope
from covid_xray.serving.views.rendering import page
from covid_xray.serving.views.study_view import ADVICE, AGAIN
from covid_xray.store import worklist

NEWEST = 4  # studies on the start page
_OWN_PATH = re.compile(r"/(?!/)[^\\]*")


def router() -> APIRouter:
    """Build the routes of all pages."""
    pages = APIRouter()
    _start(pages)
    _login(pages)
    for others in (study_pages, worklist_pages, model_page, account_pages, admin_pages, user_pages):
        pages.include_router(others.router())
    return pages


def _start(pages: APIRouter) -> None:
    @pages.get("/")
    def start(service: Server, request: Request, who: Reader) -> Response:
        newest = worklist.page(service.store.database, worklist.Query(sort="created"), limit=NEWEST).studies
        service.audit.record(who, "list")
        predictor = service.predictor
        facts = {"limits": predictor.limits, "advice": ADVICE, "again": AGAIN, "newest": newest, "bars_of": bars_of}
        facts |= {"scope": scope(predictor.classes), "site": predictor.site}
        facts["formats"] = FORMATS.replace(" or ", ", ")  # of any language
        return page(request, "start.html", facts, who=who)

    @pages.get("/studies/{id}/row")
    def row(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        study = service.store.study(id)
        service.audit.record(who, "view", id)
        return page(
            request,
            "result.html",
            {"study": study, "bars_of": bars_of, "copies": service.store.related(study)[1]},
            who=who,
        )

    @pages.get("/batches/{id}")
    def batch(service: Server, request: Request, who: Reader, id: JobId) -> Response:
        """Show the progress of a batch, inside the start page or as a page of its own."""
        job = job_out(service.jobs.job(id))
        service.audit.record(who, "view", id)
        studies = service.store.studies([item.study_id for item in job.items if item.study_id])
        facts = {"job": job, "studies": studies, "bars_of": bars_of, "advice": ADVICE}
        return page(request, "batch.html", facts, who=who)

    @pages.get("/language")
    def language(
        language: Annotated[str, Query(max_length=8)], next: Annotated[str, Query(max_length=500)] = "/"
    ) -> Response:
        """Remember the language of this browser."""
        response = RedirectResponse(_own_path(next), status_code=303)
        if language in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=31_536_000, samesite="strict", httponly=True)
        return response


def _login(pages: APIRouter) -> None:
    @pages.get("/login")
    def ask(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
        return _login_page(request, next=_own_path(next))

    @pages.post("/login", dependencies=[access.same_site])
    def log_in(
        service: Server,
        request: Request,
        name: Annotated[str, Form(max_length=64)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        next: Annotated[str, Form(max_length=500)] = "/",
    ) -> Response:
        """Start a session, or show the form again."""
        response: Response = RedirectResponse(_own_path(next), status_code=303)
        try:
            login.log_in(service, request, response, name=name, password=password)
        except (NotLoggedIn, TooOften) as error:
            return _login_page(request, next=_own_path(next), error=error, name=name)
        return response

    @pages.get(openid.PATH)
    def begin_openid(service: Server, request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
        """Send the browser to the OpenID provider."""
        response = RedirectResponse("/", status_code=303)
        response.headers["Location"] = _provider(request).begin(service, request, response, next=_own_path(next))
        return response

    @pages.get(f"{openid.PATH}/callback")
    def finish_openid(service: Server, request: Request) -> Response:
        """Start a session with the provider's answer.

        The page that follows is loaded by our own page: browsers send a SameSite=Strict cookie with no request that
        another site's redirect leads to.
        """
        cookies = Response()
        try:
            target = _provider(request).finish(service, request, cookies)
        except CovidXrayError as error:
            return _login_page(request, next="/", error=error)
        response = page(request, "continue.html", {"target": target}, who=None)
        response.raw_headers = [pair for pair in response.raw_headers if pair[0] != b"set-cookie"]
        response.raw_headers += [pair for pair in cookies.raw_headers if pair[0] == b"set-cookie"]
        return response

    @pages.post("/logout")
    def log_out(service: Server, request: Request, who: Reader) -> Response:
        response = RedirectResponse("/login", status_code=303)
        login.log_out(service, request, response, who)
        return response


def _login_page(request: Request, *, next: str, error: CovidXrayError | None = None, name: str = "") -> Response:
    settings = access.service_of(request).settings
    facts = {"next": next, "refused": error.message if error else "", "name": name, "openid": settings.openid}
    shown = page(request, "login.html", facts, who=None, status=error.http_status if error else 200)
    if isinstance(error, TooOften):
        shown.headers["Retry-After"] = str(error.retry_after)
    return shown


def _provider(request: Request) -> openid.Provider:
    """Return the OpenID provider. Raises `NotFound`."""
    provider: openid.Provider | None = request.app.state.openid
    if provider is None:
        raise NotFound("This server has no OpenID provider. Log in with a password.")
    return provider


def _own_path(path: str) -> str:
    """Return the path if it is one of this server, otherwise `/`."""
    return path if _OWN_PATH.fullmatch(path) and path.isprintable() else "/"
