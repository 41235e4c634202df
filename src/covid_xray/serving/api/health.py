"""Serve /healthz (is it running), /readyz (can it answer) and /metrics (for Prometheus)."""

import os
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from covid_xray.errors import CovidXrayError
from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import Health
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.service import Service
from covid_xray.store import audit_log


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["health"])

    @api.get("/healthz", response_model=Health)
    def get_health() -> Health:
        """Say that the server is running."""
        return Health(status="ok")

    @api.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "Not ready."}})
    def get_readiness(request: Request) -> Response:
        """Check whether database, store and server can answer now."""
        checks = readiness(request.app.state.service)
        ready = all(found == "ok" for found in checks.values())
        health = Health(status="ok" if ready else "not ready", checks=checks)
        return JSONResponse(health.model_dump(), status_code=200 if ready else 503)

    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @api.get("/metrics", response_class=Response, responses={**problems(), **text})
    def get_metrics(service: Server, who: Reader) -> Response:
        """Return the metrics for Prometheus; with users or a token it needs a bearer token."""
        return Response(service.metrics.text(), headers={"Content-Type": service.metrics.content_type})

    return api


def readiness(service: Service) -> dict[str, str]:
    """Check each part of a server: name to `ok` or an error code."""
    try:
        audit_log.read(service.store.database, limit=1)
        database = "ok"
    except CovidXrayError as error:
        database = error.code
    images = service.store.images
    writable, has_room = os.access(images.folder, os.W_OK), images.used < images.quota
    return {
        "database": database,
        "store": "ok" if writable and has_room else "store-full" if writable else "not-writable",
        "server": "stopping" if service.admission.closed else "ok",
    }
