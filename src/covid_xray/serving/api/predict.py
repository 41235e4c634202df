"""/api/v1: an image in, its finding or its heat map out; the network that answers; the audit log."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from covid_xray.files import sha256_bytes
from covid_xray.limits import Limits
from covid_xray.serving.api.schemas import AuditOut, BundleOut, Problem, StudyOut, study_out
from covid_xray.serving.http.access import Admin, Reader, Server
from covid_xray.serving.http.uploads import OVERHEAD, as_upload, body, fields, received
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings
from covid_xray.serving.views.clinical_view import record_of
from covid_xray.store.accounts import Principal
from covid_xray.store.records import Study, thresholds

_DETAILS = {
    400: "The request breaks off.",
    401: "Nobody known asks.",
    403: "Who asks may not do this.",
    404: "There is none of this id, or no longer.",
    408: "The upload did not arrive in time.",
    413: "The body is too large.",
    422: "What was sent is refused; `code` says why.",
    429: "Too many requests; `Retry-After` says when to try again.",
    503: "The server is busy; `Retry-After` says when to try again.",
    507: "The store is full.",
}
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="The same request sent again with it gives the same result."),
]

Shown = Annotated[str | None, Query(alias="class", max_length=64, description="Default: the most probable.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's account of the errors of a route."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": _DETAILS[status], "content": content} for status in (401, 403, 429, 503, *statuses)}


def png(description: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's account of a picture."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {"image/png": {"schema": schema}}}}


def key_of(who: Principal, request: Request, key: str | None) -> str | None:
    """The SHA-256 of who sent this key with what kind of request."""
    return sha256_bytes(f"{who.name}\n{request.url.path}\n{key}".encode()) if key is not None else None


def router(limits: Limits) -> APIRouter:
    """The routes; `limits` say how large a body may be."""
    api = APIRouter(tags=["answers"])
    _answers(api, limits)
    _about(api)
    return api


def _answers(api: APIRouter, limits: Limits) -> None:
    upload: dict[str, Any] = {"max_body_size": limits.upload_bytes + OVERHEAD, "openapi_extra": body()}
    refused = problems(400, 408, 413, 422, 507)
    drawn = png("The radiograph with the heat map, a colour bar and a caption.")

    @api.post("/predict", response_model=StudyOut, status_code=200, responses=refused, **upload)
    async def predict(
        request: Request, service: Server, who: Reader, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Answer for one image, and for it and what is known of its patient; when this returns, it is on disk."""
        study = await _answered(request, service, who, idempotency_key)
        headers = {"Location": f"/api/v1/studies/{study.id}"}
        return Response(study_out(study).model_dump_json(), media_type="application/json", headers=headers)

    @api.post("/explain", response_class=Response, responses={**refused, **drawn}, **upload)
    async def explain(
        request: Request,
        service: Server,
        who: Reader,
        shown: Shown = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """As `predict`, with the heat map as the answer; the study is at `Location`."""
        drawings.check_class(service.predictor.classes, shown)
        study = await _answered(request, service, who, idempotency_key)
        picture = await run_in_threadpool(drawings.heatmap_png, service.store, study, shown=shown, form="picture")
        return Response(picture, media_type="image/png", headers={"Location": f"/api/v1/studies/{study.id}"})


def _about(api: APIRouter) -> None:
    @api.get("/model", response_model=BundleOut, responses=problems())
    def model(service: Server, who: Reader) -> BundleOut:
        """The network that answers, and what its bundle says of it."""
        return bundle_out(service)

    @api.get("/audit", response_model=list[AuditOut], responses=problems(422))
    def audit(
        service: Server,
        who: Admin,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    ) -> list[AuditOut]:
        """Who did what and saw whom, newest first; for admins."""
        entries = service.store.audit(limit=limit, offset=offset)
        return [AuditOut.model_validate(entry) for entry in entries]


def bundle_out(service: Service) -> BundleOut:
    """What is known of the network that answers."""
    predictor, bundle = service.predictor, service.predictor.bundle
    hidden = ("name", "version", "classes", "input", "temperature", "operating_points", "reference")
    return BundleOut(
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        classes=list(bundle.classes),
        input={"height": bundle.height, "width": bundle.width},
        engine=predictor.engine,
        precision=predictor.precision,
        temperature=bundle.temperature,
        thresholds=thresholds(bundle.facts.get("operating_points")),
        facts={key: value for key, value in bundle.facts.items() if key not in hidden},
    )


async def _answered(request: Request, service: Service, who: Principal, key: str | None) -> Study:
    """Receive one file and answer for it, when it is its turn."""
    async with service.gate.place(), received(request, files=1) as files, service.gate.turn():
        known = record_of(await fields(request), service.predictor)
        return await service.answer(as_upload(files[0], known=known), uploader=who.name, key=key_of(who, request, key))
