"""/healthz: it lives. /readyz: it can answer. /metrics: what it counts."""

import os

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from covid_xray.errors import CovidXrayError
from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import Health
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.service import Service


def router() -> APIRouter:
    """The routes."""
    api = APIRouter(tags=["health"])

    @api.get("/healthz", response_model=Health)
    def healthz() -> Health:
        """Always well while the server lives."""
        return Health(status="ok")

    @api.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "It cannot answer."}})
    def readyz(request: Request) -> Response:
        """Whether database, store and network can do their part now."""
        checks = ready(request.app.state.service)
        well = all(found == "ok" for found in checks.values())
        health = Health(status="ok" if well else "not ready", checks=checks)
        return JSONResponse(health.model_dump(), status_code=200 if well else 503)

    @api.get(
        "/metrics",
        response_class=Response,
        responses={**problems(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics(service: Server, who: Reader) -> Response:
        """For Prometheus; where users or a token are set, it needs a token."""
        return Response(service.gauges.text(), headers={"Content-Type": service.gauges.content_type})

    return api


def ready(service: Service) -> dict[str, str]:
    """What can do its part: name to `ok` or a code."""
    try:
        service.store.audit(limit=1)
        database = "ok"
    except CovidXrayError as error:
        database = error.code
    shelf = service.store.images
    writable = os.access(images.folder, os.W_OK)
    room = shelf.used < shelf.quota
    return {
        "database": database,
        "store": "ok" if writable and room else "store-full" if writable else "not-writable",
        "server": "stopping" if service.gate.closed else "ok",
    }
