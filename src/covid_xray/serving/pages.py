"""The HTML pages, from the templates in `web/templates`."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates

from covid_xray.bundle.heatmap import DISCLAIMER
from covid_xray.serving import access
from covid_xray.serving.access import Reader, Server

TEMPLATES = Jinja2Templates(directory=Path(__file__).parent / "web" / "templates")


def router() -> APIRouter:
    """The pages."""
    pages = APIRouter()

    @pages.get("/")
    def start(service: Server, request: Request, who: Reader) -> Response:
        """The first page."""
        token, fresh = access.page_token(request)
        facts = {"who": who, "disclaimer": DISCLAIMER, "model": service.predictor.identity, "csrf_token": token}
        response = TEMPLATES.TemplateResponse(request, "start.html", facts)
        if fresh:
            access.set_cookie(request, response, fresh)
        return response

    return pages
