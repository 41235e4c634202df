"""/api/v1/studies: what was uploaded, its pictures and reports, what readers say of it, and all of it as tables."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from covid_xray import clinical
from covid_xray.serving.api.predict import Shown, png, problems
from covid_xray.serving.api.schemas import (
    FeedbackIn,
    FeedbackOut,
    StudyOut,
    StudyPage,
    feedback_out,
    study_out,
    utc,
)
from covid_xray.serving.http.access import Admin, Reader, Server
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings, report_pdf, study_view
from covid_xray.serving.views.clinical_view import ClinicalIn, taken
from covid_xray.store import exports, worklist
from covid_xray.store.accounts import Principal
from covid_xray.store.records import Study

StudyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Of the study.")]
Longest = Annotated[int, Query(alias="size", ge=16, le=8192, description="Pixels of the longer side, at most.")]
Share = Annotated[float, Query(ge=-4, le=4, allow_inf_nan=False, description="Share of the file's white.")]


def wanted(
    q: Annotated[str, Query(max_length=200, description="Text in the file name, or the beginning of an id.")] = "",
    label: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    origin: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    feedback: worklist.FeedbackState | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    sort: worklist.Sort = "suspicion",
    reverse: bool = False,
) -> worklist.Query:
    """The query of the worklist, from the address."""
    return worklist.Query(
        search=q,
        label=label,
        origin=origin,
        feedback=feedback,
        since=utc(since),
        until=utc(until),
        sort=sort,
        reverse=reverse,
    )


Wanted = Annotated[worklist.Query, Depends(wanted)]


def router() -> APIRouter:
    """The routes."""
    api = APIRouter(tags=["studies"])
    _lists(api)
    _one(api)
    _pictures(api)
    _report(api)
    return api


def _lists(api: APIRouter) -> None:
    @api.get("/studies", response_model=StudyPage, responses=problems(422))
    def studies(
        service: Server,
        who: Reader,
        query: Wanted,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    ) -> StudyPage:
        """A page of the worklist, most suspicious first."""
        found = worklist.page(service.store.database, query, limit=limit, offset=offset)
        service.audit.record(who, "list")
        shown = [study_out(study) for study in found.studies]
        return StudyPage(total=found.total, limit=limit, offset=offset, studies=shown)

    @api.get("/studies.csv", response_class=Response, responses={**problems(422), **_csv("The studies.")})
    def studies_csv(service: Server, who: Reader, query: Wanted) -> Response:
        """All studies of a query as CSV."""
        service.audit.record(who, "export")
        classes = service.predictor.classes
        return _table("studies.csv", exports.studies_csv(worklist.every(service.store.database, query), classes))

    @api.get("/feedback.csv", response_class=Response, responses={**problems(), **_csv("A manifest.")})
    def feedback_csv(service: Server, who: Reader) -> Response:
        """What readers confirmed or corrected, as a manifest for training: `image` names the files of the store."""
        service.audit.record(who, "export")
        return _table("feedback.csv", exports.feedback_csv(service.store))


def _one(api: APIRouter) -> None:
    @api.get("/studies/{id}", response_model=StudyOut, responses=problems(404, 422))
    def study(service: Server, who: Reader, id: StudyId) -> StudyOut:
        """One study."""
        found = service.store.study(id)
        service.audit.record(who, "view", found.id)
        return study_out(found)

    @api.delete("/studies/{id}", status_code=204, responses=problems(404, 422))
    def delete(service: Server, who: Admin, id: StudyId) -> None:
        """Delete a study with its image and feedback; for admins."""
        service.store.delete(id)
        service.audit.record(who, "delete", id)

    @api.put("/studies/{id}/clinical", response_model=StudyOut, responses=problems(404, 422))
    async def with_values(service: Server, who: Reader, id: StudyId, known: Annotated[ClinicalIn, Body()]) -> StudyOut:
        """Answer for a stored image and what is known of its patient; the answer for the image alone stays."""
        return study_out(await joined(service, who, id, known.known))

    @api.post("/studies/{id}/feedback", response_model=FeedbackOut, status_code=201, responses=problems(404, 422))
    def give_feedback(service: Server, who: Reader, id: StudyId, said: Annotated[FeedbackIn, Body()]) -> FeedbackOut:
        """Agree, disagree, or correct."""
        found = service.store.study(id)
        kept = service.store.add_feedback(
            found, reader=who.name, verdict=said.verdict, label=said.label, note=said.note
        )
        service.audit.record(who, "feedback", id)
        return feedback_out(kept)

    @api.get("/studies/{id}/feedback", response_model=list[FeedbackOut], responses=problems(404, 422))
    def feedback(service: Server, who: Reader, id: StudyId) -> list[FeedbackOut]:
        """What readers said of a study, oldest first."""
        found = service.store.study(id)
        service.audit.record(who, "view", id)
        return [feedback_out(said) for said in service.store.feedback(found.id)]


def _pictures(api: APIRouter) -> None:
    @api.get(
        "/studies/{id}/image.png",
        response_class=Response,
        responses={**problems(404, 422), **png("The radiograph, 8-bit grey, drawn anew.")},
    )
    def image(
        service: Server,
        who: Reader,
        id: StudyId,
        longest: Longest = drawings.LONGEST,
        low: Share = 0.0,
        high: Share = 1.0,
    ) -> Response:
        """The radiograph, never the uploaded file; `low` and `high` window all of its 8 to 16 bits."""
        found = _seen(service.store.study(id), service, who)
        return Response(
            drawings.image_png(service.store, found, longest=longest, low=low, high=high), media_type="image/png"
        )

    @api.get(
        "/studies/{id}/heatmap.png",
        response_class=Response,
        responses={**problems(404, 422), **png("The heat map of one class.")},
    )
    def heatmap(
        service: Server,
        who: Reader,
        id: StudyId,
        shown: Shown = None,
        form: drawings.Form = "layer",
        longest: Longest = drawings.LONGEST,
    ) -> Response:
        """A transparent layer of the size of `image.png`; laid over it (`form=overlay`), with a caption (`picture`)."""
        found = _seen(service.store.study(id), service, who)
        picture = drawings.heatmap_png(service.store, found, shown=shown, form=form, longest=longest)
        return Response(picture, media_type="image/png")


def _report(api: APIRouter) -> None:
    pdf: dict[int | str, dict[str, Any]] = {
        200: {"description": "One page.", "content": {"application/pdf": {"schema": {"type": "string"}}}}
    }

    @api.get("/studies/{id}/report.pdf", response_class=Response, responses={**problems(404, 422), **pdf})
    def report(service: Server, who: Reader, id: StudyId) -> Response:
        """The radiograph, its heat map and the figures on a page to print."""
        found = _seen(service.store.study(id), service, who)
        disposition = f'inline; filename="covid-xray-{found.id}.pdf"'
        headers = {"Content-Disposition": disposition}
        facts, now = service.predictor.bundle.facts, service.predictor.identity
        printed = report_pdf.report_pdf(service.store, found, warnings=study_view.warnings(found, facts=facts, now=now))
        return Response(printed, media_type="application/pdf", headers=headers)


async def joined(service: Service, who: Principal, identity: str, known: clinical.Record) -> Study:
    """A study with the joint answer for a record. Raises what `taken` and `Service.join` raise."""
    taken(known, service.predictor)
    study = await run_in_threadpool(service.store.study, identity)
    found = await service.join(study, known)
    await run_in_threadpool(service.audit.record, who, "clinical", identity)
    return found


def _seen(study: Study, service: Server, who: Reader) -> Study:
    service.audit.record(who, "view", study.id)
    return study


def _csv(description: str) -> dict[int | str, dict[str, object]]:
    return {200: {"description": description, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def _table(name: str, lines: Iterator[str]) -> Response:
    disposition = f'attachment; filename="{name}"'
    return StreamingResponse(lines, media_type="text/csv", headers={"Content-Disposition": disposition})
