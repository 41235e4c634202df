"""Build the FastAPI application: routers, middleware, start and stop.

While it runs, `app.state.service` holds the service (store, network, queues).
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from covid_xray import __version__
from covid_xray.config import Serving
from covid_xray.inference.heatmap import DISCLAIMER
from covid_xray.inference.predictor import Predictor
from covid_xray.serving.api import audit, batches, bulk, health, predict, sessions, studies, tokens
from covid_xray.serving.api.openapi import complete_openapi
from covid_xray.serving.http.access import trusted_proxies
from covid_xray.serving.http.host_check import HostCheck
from covid_xray.serving.http.methods import Methods
from covid_xray.serving.http.openid import Provider
from covid_xray.serving.http.problems import install_handlers
from covid_xray.serving.http.security_headers import SecurityHeaders
from covid_xray.serving.http.timeouts import BodyDeadline
from covid_xray.serving.pages import pages
from covid_xray.serving.pages.error_pages import ErrorPages
from covid_xray.serving.prometheus import RequestMetrics
from covid_xray.serving.service import running
from covid_xray.serving.views.languages import Languages

WEB = Path(__file__).parent / "web"
_SMALL_BODY = 1 << 20


def create_app(settings: Serving, predictor: Predictor) -> FastAPI:
    """Build the application.

    Args:
        settings: storage, timeouts and rates.
        predictor: the network; its limits hold for uploads, queue and concurrency.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, predictor) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="covid-xray",
        version=__version__,
        summary=f"Classify chest radiographs: COVID-19, viral pneumonia or normal. {DISCLAIMER.capitalize()}.",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        generate_unique_id_function=lambda route: route.name,  # operationId: the name of the function, which stays
        docs_url=None,  # its page would load scripts from another site
        redoc_url=None,
    )
    app.state.openid = Provider(settings.openid) if settings.openid else None
    v1 = APIRouter(prefix="/api/v1")
    v1.include_router(predict.router(predictor.limits))
    v1.include_router(batches.router(predictor.limits))
    for small in (studies.router(), sessions.router(), tokens.router(), audit.router(), bulk.router()):
        v1.include_router(small, max_body_size=_SMALL_BODY)
    app.include_router(v1)
    app.include_router(health.router())
    app.include_router(pages.router(), include_in_schema=False, max_body_size=_SMALL_BODY)
    app.mount("/static", StaticFiles(directory=WEB / "static"), name="static")
    install_handlers(app)
    complete_openapi(app)
    app.add_middleware(Methods)  # the first is the innermost
    app.add_middleware(BodyDeadline, settings=settings)
    for middleware in (HostCheck, ErrorPages, RequestMetrics, SecurityHeaders):
        app.add_middleware(middleware)
    app.add_middleware(Languages, default=settings.language)
    if proxies := trusted_proxies(settings):
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
    return app
