"""Settings and a predictor in, the FastAPI application out: routers, middleware, start and stop.

The service (store, network, queues) is in `app.state.service` while the application runs.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from covid_xray import __version__
from covid_xray.config import Serving
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.inference.predictor import Predictor
from covid_xray.serving.api import batches, health, predict, schemas, sessions, studies
from covid_xray.serving.http import problems
from covid_xray.serving.http.security_headers import Shield
from covid_xray.serving.http.timeouts import Patience
from covid_xray.serving.pages import pages
from covid_xray.serving.pages.error_pages import ErrorPages
from covid_xray.serving.service import running

WEB = Path(__file__).parent / "web"
_SMALL_BODY = 1 << 20


def create_app(settings: Serving, predictor: Predictor) -> FastAPI:
    """The application.

    Args:
        settings: where it keeps what, and how patient it is.
        predictor: answers; its limits hold for uploads, queue and concurrency.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, predictor) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="covid-xray",
        version=__version__,
        summary=f"Chest radiographs in, findings out. {DISCLAIMER.capitalize()}.",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    v1 = APIRouter(prefix="/api/v1")
    v1.include_router(predict.router(predictor.limits))
    v1.include_router(batches.router(predictor.limits))
    for small in (studies.router(), sessions.router()):
        v1.include_router(small, max_body_size=_SMALL_BODY)
    app.include_router(v1)
    app.include_router(health.router())
    app.include_router(pages.router(), include_in_schema=False, max_body_size=_SMALL_BODY)
    app.mount("/static", StaticFiles(directory=WEB / "static"), name="static")
    problems.install(app)
    _describe(app)
    app.add_middleware(Patience, settings=settings)
    app.add_middleware(ErrorPages)
    app.add_middleware(Shield)
    return app


def _describe(app: FastAPI) -> None:
    """OpenAPI with whole examples: FastAPI drops every null from them, and with it required fields."""
    whole = app.openapi

    def described() -> dict[str, Any]:
        known = app.openapi_schema is not None
        document = whole()
        for name, schema in document["components"]["schemas"].items() if not known else ():
            model = getattr(schemas, name, None)
            if model is not None and "examples" in schema:
                schema["examples"] = model.model_config["json_schema_extra"]["examples"]
        return document

    app.openapi = described  # type: ignore[method-assign]
