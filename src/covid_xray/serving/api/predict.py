"""Serve /api/v1/predict, /explain and /model."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from covid_xray.files import sha256_bytes
from covid_xray.limits import Limits
from covid_xray.serving.api.schemas import BundleOut, StudyOut, study_out
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.http.uploads import OVERHEAD, multipart_files, openapi_body, text_fields
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings
from covid_xray.serving.views.clinical_view import parse_record
from covid_xray.store.principals import Principal
from covid_xray.store.records import Study, Upload, thresholds

_PROBLEMS = {
    400: "The request broke off.",
    401: "Authentication required.",
    403: "The role is not enough, or the request came from another site.",
    404: "Not found, deleted or expired.",
    408: "The upload did not arrive in time.",
    413: "The body is too large.",
    422: "The input was refused; `code` says why.",
    429: "Too many requests; retry after `Retry-After` seconds.",
    503: "The server is busy; retry after `Retry-After` seconds.",
    507: "The store is full.",
}
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="A repeated request with the same key gives the first result."),
]
Offset = Annotated[int, Query(ge=0, le=10**9)]
ShownClass = Annotated[
    str | None, Query(alias="class", max_length=64, description="Class of the heat map; default: the most probable.")
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    codes = (401, 403, 429, 503, *statuses)
    return {status: {"description": _PROBLEMS[status], "content": content} for status in codes}


def png(description: str) -> dict[int | str, dict[str, Any]]:
    """Describe a PNG response for OpenAPI."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {"image/png": {"schema": schema}}}}


def bind_key(who: Principal, request: Request, key: str | None) -> str | None:
    """Bind an Idempotency-Key to user and route, as a SHA-256."""
    return sha256_bytes(f"{who.name}\n{request.url.path}\n{key}".encode()) if key is not None else None


def router(limits: Limits) -> APIRouter:
    """Build the routes; `limits` bound the size of an upload."""
    api = APIRouter(tags=["answers"])
    _add_uploads(api, limits)
    _add_model(api)
    return api


def _add_uploads(api: APIRouter, limits: Limits) -> None:
    upload: dict[str, Any] = {"max_body_size": limits.upload_bytes + OVERHEAD, "openapi_extra": openapi_body()}
    refused = problems(400, 408, 413, 422, 507)
    drawn = png("The radiograph with the heat map, a colour bar and a caption.")

    @api.post("/predict", response_model=StudyOut, status_code=200, responses=refused, **upload)
    async def predict(
        request: Request, service: Server, who: Reader, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Classify one image, with clinical values if the form has some. The study is on disk when this returns."""
        study = await _classify(request, service, who, idempotency_key)
        headers = {"Location": f"/api/v1/studies/{study.id}"}
        return Response(study_out(study).model_dump_json(), media_type="application/json", headers=headers)

    @api.post("/explain", response_class=Response, responses={**refused, **drawn}, **upload)
    async def explain(
        request: Request, service: Server, who: Reader, shown: ShownClass = None, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Classify one image like `predict` and return its heat map; `Location` is the study."""
        drawings.check_class(service.predictor.classes, shown)
        study = await _classify(request, service, who, idempotency_key)
        picture = await run_in_threadpool(drawings.heatmap_png, service.store, study, shown=shown, form="picture")
        return Response(picture, media_type="image/png", headers={"Location": f"/api/v1/studies/{study.id}"})


def _add_model(api: APIRouter) -> None:
    @api.get("/model", response_model=BundleOut, responses=problems())
    def get_model(service: Server, who: Reader) -> BundleOut:
        """Describe the loaded network and its bundle."""
        return bundle_out(service)


def bundle_out(service: Service) -> BundleOut:
    """Convert the facts of the loaded network to their JSON form."""
    predictor, bundle = service.predictor, service.predictor.bundle
    hidden = ("name", "version", "classes", "input", "temperature", "operating_points", "reference")
    return BundleOut(
        **{name: getattr(bundle, name) for name in ("name", "version", "sha256", "temperature")},
        classes=list(bundle.classes),
        input={"height": bundle.height, "width": bundle.width},
        engine=predictor.engine,
        precision=predictor.precision,
        thresholds=thresholds(bundle.contents.operating_points),
        facts={key: value for key, value in bundle.facts.items() if key not in hidden},
    )


async def _classify(request: Request, service: Service, who: Principal, key: str | None) -> Study:
    """Receive one file, wait for a slot, classify and store it."""
    admission = service.admission
    async with admission.admit(), multipart_files(request, files=1) as files, admission.slot():
        known = parse_record(await text_fields(request), service.predictor)
        upload = Upload(files[0].filename or "", files[0].file.read, known)
        return await service.answer(upload, uploader=who.name, address=who.address, key=bind_key(who, request, key))
