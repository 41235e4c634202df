"""Serve /api/v1/studies: the worklist, each study with its pictures, report and feedback, and the CSV exports."""

from functools import partial
from typing import Annotated

import pydantic
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from covid_xray import clinical
from covid_xray.serving.api.lists import Bom, Since, Until, csv_download, csv_response
from covid_xray.serving.api.predict import Offset, ShownClass, png, problems
from covid_xray.serving.api.schemas import FeedbackIn, FeedbackOut, StudyOut, StudyPage, study_out
from covid_xray.serving.http.access import Admin, Reader, Server
from covid_xray.serving.http.caching import cached
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings, report_pdf, study_view
from covid_xray.serving.views.clinical_view import ClinicalIn, require_clinical_input
from covid_xray.serving.views.drawings import LONGEST
from covid_xray.store import exports, worklist
from covid_xray.store.principals import Principal
from covid_xray.store.records import Feedback, Study

StudyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of the study.")]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[
    str | None,
    Query(
        max_length=1000, description="`next` of the previous page: unlike `offset` it misses none while others arrive."
    ),
]
Longest = Annotated[int, Query(alias="size", ge=16, le=8192, description="Largest height and width in pixels.")]
Share = Annotated[float, Query(ge=-4, le=4, allow_inf_nan=False, description="Share of the file's white.")]

Label = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=64)]


def study_query(
    q: Annotated[str, Query(max_length=200, description="Part of the file name, or the beginning of an id.")] = "",
    label: Annotated[list[Label], Query(max_length=16, description="One of these; repeatable.")] = [],  # noqa: B006
    origin: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    feedback: worklist.FeedbackState | None = None,
    since: Since = None,
    until: Until = None,
    sort: worklist.Sort = "suspicion",
    reverse: bool = False,
) -> worklist.Query:
    """Read the filters and the order of the worklist from the URL."""
    return worklist.Query(
        search=q,
        labels=tuple(label),
        origin=origin,
        feedback=feedback,
        since=since,
        until=until,
        sort=sort,
        reverse=reverse,
    )


StudyQuery = Annotated[worklist.Query, Depends(study_query)]


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["studies"])
    _add_lists(api)
    _add_study(api)
    _add_feedback(api)
    _add_pictures(api)
    return api


def _add_lists(api: APIRouter) -> None:
    @api.get("/studies", response_model=StudyPage, responses=problems(422))
    def list_studies(
        service: Server,
        who: Reader,
        query: StudyQuery,
        limit: Limit = 50,
        offset: Offset = 0,
        cursor: Cursor = None,
    ) -> StudyPage:
        """List studies, most suspicious first unless sorted otherwise. `next` is the cursor of the next page."""
        found = worklist.page(service.store.database, query, limit=limit, offset=offset, cursor=cursor)
        service.audit.record(who, "list")
        shown = [study_out(study) for study in found.studies]
        return StudyPage(total=found.total, limit=limit, offset=offset, studies=shown, next=found.next)

    @api.get("/studies.csv", response_class=Response, responses={**problems(422), **csv_response("The studies.")})
    def export_studies(service: Server, who: Reader, query: StudyQuery, bom: Bom = False) -> Response:
        """Export all studies of a query as CSV."""
        service.audit.record(who, "export")
        studies = worklist.every(service.store.database, query)
        return csv_download("studies.csv", exports.studies_csv(studies, service.predictor.classes), bom=bom)

    @api.get(
        "/feedback.csv", response_class=Response, responses={**problems(422), **csv_response("A training manifest.")}
    )
    def export_feedback(service: Server, who: Reader, bom: Bom = False) -> Response:
        """Export confirmed and corrected labels as a training manifest; `image` names files of the store."""
        service.audit.record(who, "export")
        return csv_download("feedback.csv", exports.feedback_csv(service.store), bom=bom)


def _add_study(api: APIRouter) -> None:
    @api.get("/studies/{id}", response_model=StudyOut, responses=problems(404, 422))
    def get_study(service: Server, who: Reader, id: StudyId) -> StudyOut:
        """Return one study."""
        return study_out(_view(service, who, id))

    @api.delete("/studies/{id}", status_code=204, responses=problems(404, 422))
    def delete_study(service: Server, who: Admin, id: StudyId) -> None:
        """Delete a study with its image and feedback. Admins only."""
        remove_study(service, who, id)

    @api.put("/studies/{id}/clinical", response_model=StudyOut, responses=problems(404, 422))
    async def put_clinical(service: Server, who: Reader, id: StudyId, given: Annotated[ClinicalIn, Body()]) -> StudyOut:
        """Classify a stored image together with clinical values; the answer for the image alone stays."""
        return study_out(await set_clinical(service, who, id, given.known))

    pdf = {
        "description": "One page.",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    }

    @api.get("/studies/{id}/report.pdf", response_class=Response, responses={**problems(404, 422), 200: pdf})
    def get_report(service: Server, who: Reader, id: StudyId) -> Response:
        """Return the printable report: radiograph, heat map and numbers."""
        found = _view(service, who, id)
        contents, now = service.predictor.bundle.contents, service.predictor.identity
        printed = report_pdf.report_pdf(
            service.store, found, warnings=study_view.warnings(found, contents=contents, now=now)
        )
        headers = {"Content-Disposition": f'inline; filename="covid-xray-{found.id}.pdf"'}
        return Response(printed, media_type="application/pdf", headers=headers)


def _add_feedback(api: APIRouter) -> None:
    @api.post("/studies/{id}/feedback", response_model=FeedbackOut, status_code=201, responses=problems(404, 422))
    def create_feedback(service: Server, who: Reader, id: StudyId, given: Annotated[FeedbackIn, Body()]) -> FeedbackOut:
        """Agree with the label, disagree, or correct it."""
        return FeedbackOut.model_validate(add_feedback(service, who, id, given))

    @api.get("/studies/{id}/feedback", response_model=list[FeedbackOut], responses=problems(404, 422))
    def list_feedback(service: Server, who: Reader, id: StudyId) -> list[FeedbackOut]:
        """List the feedback on a study, oldest first."""
        found = _view(service, who, id)
        return [FeedbackOut.model_validate(one) for one in service.store.feedback(found.id)]


def _add_pictures(api: APIRouter) -> None:
    image_png, heatmap_png = png("The radiograph, 8-bit grey."), png("The heat map of one class.")

    @api.get("/studies/{id}/image.png", response_class=Response, responses={**problems(404, 422), **image_png})
    def get_image(
        service: Server,
        request: Request,
        who: Reader,
        id: StudyId,
        longest: Longest = LONGEST,
        low: Share = 0.0,
        high: Share = 1.0,
    ) -> Response:
        """Draw the radiograph, never the uploaded file; `low` and `high` window its full 8 to 16 bits."""
        found = _view(service, who, id)
        draw = partial(drawings.image_png, service.store, found, longest=longest, low=low, high=high)
        return cached(request, draw, id, longest, low, high)

    @api.get("/studies/{id}/heatmap.png", response_class=Response, responses={**problems(404, 422), **heatmap_png})
    def get_heatmap(
        service: Server,
        request: Request,
        who: Reader,
        id: StudyId,
        shown: ShownClass = None,
        form: drawings.Form = "layer",
        longest: Longest = LONGEST,
    ) -> Response:
        """Draw the heat map: a transparent `layer` the size of `image.png`, an `overlay`, or a captioned `picture`."""
        found = _view(service, who, id)
        drawings.check_class(found.probabilities, shown)
        draw = partial(drawings.heatmap_png, service.store, found, shown=shown, form=form, longest=longest)
        return cached(request, draw, id, shown, form, longest)


async def set_clinical(service: Service, who: Principal, identity: str, known: clinical.Record) -> Study:
    """Store the answer with clinical values. Raises what `require_clinical_input` and `Service.join` raise."""
    require_clinical_input(known, service.predictor)
    study = await run_in_threadpool(service.store.study, identity)
    found = await service.join(study, known)
    await run_in_threadpool(service.audit.record, who, "clinical", identity)
    return found


def add_feedback(service: Service, who: Principal, identity: str, given: FeedbackIn) -> Feedback:
    """Store a verdict, record it and tell the webhooks. Raises what `Store.add_feedback` raises."""
    verdict = given.model_dump(include={"verdict", "label", "note"})
    kept = service.store.add_feedback(service.store.study(identity), reader=who.name, **verdict)
    service.audit.record(who, "feedback", identity)
    about = {"study_id": identity, "verdict": kept.verdict, "label": kept.label}
    service.webhooks.emit("feedback.created", about)
    return kept


def remove_study(service: Service, who: Principal, identity: str) -> None:
    """Delete a study, record it and tell the webhooks. Raises `NotFound`."""
    service.store.delete(identity)
    service.audit.record(who, "delete", identity)
    service.webhooks.emit("study.deleted", {"id": identity})


def _view(service: Service, who: Principal, identity: str) -> Study:
    found = service.store.study(identity)
    service.audit.record(who, "view", identity)
    return found
