"""Serve the pages of one study: viewer, printable report, feedback, clinical values and deletion."""

import functools
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from covid_xray.errors import InputRefused
from covid_xray.serving.api.schemas import FeedbackIn
from covid_xray.serving.api.studies import StudyId, add_feedback, set_clinical
from covid_xray.serving.http.access import Admin, Reader, Server
from covid_xray.serving.http.caching import cached
from covid_xray.serving.http.uploads import text_fields
from covid_xray.serving.pages.worklist_pages import ListRequest, query_string
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings, study_view
from covid_xray.serving.views.clinical_view import form_fields, joint_view, parse_record
from covid_xray.serving.views.reading import reading
from covid_xray.serving.views.rendering import is_partial, page
from covid_xray.serving.views.study_view import bars as bars_of
from covid_xray.store import trash, worklist
from covid_xray.store.records import Study
from covid_xray.store.store import Store

__all__ = ["StudyId", "bars_of", "router"]
_NO_LIST = {"before": None, "after": None, "query": ""}  # the study was not opened from the worklist
THUMBNAIL = 144  # largest height and width in pixels
PREVIEW = 896  # of the picture that the viewer shows before it is enlarged


def router() -> APIRouter:
    """Build the routes."""
    pages = APIRouter()

    @functools.lru_cache(maxsize=512)
    def draw_thumbnail(store: Store, study: str) -> bytes:
        return drawings.image_png(store, store.study(study), longest=THUMBNAIL)

    @pages.get("/studies/{id}/thumb.png")
    def thumb(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        """Draw a small picture for lists; only the list is audited."""
        study = service.store.study(id)  # not cached: a deleted study has no picture
        return cached(request, lambda: draw_thumbnail(service.store, study.id), study.id, "thumb")

    _show(pages)
    _change(pages)
    return pages


def _show(pages: APIRouter) -> None:
    @pages.get("/studies/{id}")
    def study(
        service: Server,
        request: Request,
        who: Reader,
        id: StudyId,
        asked: ListRequest,
        beside: Annotated[str, Query(pattern="^([0-9a-f]{32})?$")] = "",
    ) -> Response:
        """Show the viewer, perhaps with another study beside; the URL also holds the query of the worklist."""
        found = service.store.study(id)
        service.audit.record(who, "view", id)
        before, after = worklist.neighbours(service.store.database, asked.query, id)
        facts: dict[str, Any] = {"before": before, "after": after, "query": query_string(asked.place)}
        if beside and beside != id:
            facts["other"] = service.store.study(beside)
            service.audit.record(who, "view", beside)
        return page(request, "study.html", {**_facts(service, found), **facts}, who=who)

    @pages.get("/compare")
    def compare(pick: Annotated[list[str], Query(max_length=500)] = []) -> Response:  # noqa: B006
        """Show the first two of the chosen studies beside each other, the older one left."""
        known = [identity for identity in pick if re.fullmatch("[0-9a-f]{32}", identity)]
        if len(known) != 2:
            return RedirectResponse("/worklist?said=choose-two", status_code=303)
        return RedirectResponse(f"/studies/{known[0]}?beside={known[1]}", status_code=303)

    @pages.get("/studies/{id}/report")
    def report(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        found = service.store.study(id)
        service.audit.record(who, "view", id)
        return page(request, "report.html", {**_facts(service, found), "printed": True}, who=who)

    @pages.get("/studies/{id}/delete")
    def ask(service: Server, request: Request, who: Admin, id: StudyId) -> Response:
        facts = {"study": service.store.study(id), "undo_seconds": trash.UNDO_SECONDS}
        return page(request, "delete.html", facts, who=who)


def _change(pages: APIRouter) -> None:
    @pages.post("/studies/{id}/clinical")
    async def clinical(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        """Store the clinical values of the form, or show the page again with what is wrong."""
        values = {name: text for name, text in (await text_fields(request)).items() if text.strip()}
        try:
            await set_clinical(service, who, id, parse_record(values, service.predictor))
        except InputRefused as error:
            study = await run_in_threadpool(service.store.study, id)
            facts = await run_in_threadpool(_facts, service, study)
            facts |= {**_NO_LIST, "known": values, "objection": error.message}
            return page(request, "study.html", facts, who=who, status=error.http_status)
        return RedirectResponse(f"/studies/{id}#patient", status_code=303)

    @pages.post("/studies/{id}/delete")
    def delete(service: Server, request: Request, who: Admin, id: StudyId) -> Response:
        """Hide the study; it is deleted when it can no longer be undone."""
        trash.delete_later(service.store, id)
        service.audit.record(who, "delete", id)
        return RedirectResponse(f"/worklist?undo={id}", status_code=303)

    @pages.post("/studies/{id}/undelete")
    def undelete(service: Server, who: Admin, id: StudyId) -> Response:
        trash.restore(service.store, id)
        service.audit.record(who, "undelete", id)
        return RedirectResponse(f"/studies/{id}", status_code=303)

    @pages.post("/studies/{id}/feedback")
    def give(
        service: Server,
        request: Request,
        who: Reader,
        id: StudyId,
        verdict: Annotated[Literal["agree", "disagree", "correct"], Form()],
        label: Annotated[str, Form(max_length=64)] = "",
        note: Annotated[str, Form(max_length=4000)] = "",
    ) -> Response:
        """Store feedback; the label counts only with `correct`."""
        found = service.store.study(id)
        right = (label or None) if verdict == "correct" else None
        add_feedback(service, who, id, FeedbackIn(verdict=verdict, label=right, note=note))
        if not is_partial(request):
            return RedirectResponse(f"/studies/{id}#feedback", status_code=303)
        facts = {"study": found, "feedback": service.store.feedback(id), "saved": True}
        return page(request, "feedback.html", facts, who=who)


def _facts(service: Service, study: Study) -> dict[str, Any]:
    """Collect the values of the viewer and the report."""
    joint, contents = study.finding.get("joint"), service.predictor.bundle.contents
    maps = service.store.class_maps(study)
    with_evidence = [name for name, it in zip(study.probabilities, maps, strict=True) if drawings.has_evidence(it)]
    read = reading(study)
    # "Cannot say" gives no hint of a class: its list of maps begins with the first one.
    shown = next(iter(study.probabilities)) if read.cannot_say else drawings.most_probable(study)
    priors, copies = service.store.related(study)
    return {
        "study": study,
        "read": read,
        "printed": False,
        "preview": PREVIEW,
        "other": None,
        "priors": priors,
        "copies": copies,
        "bars": bars_of(study),
        "checks": study_view.checks(study),
        "warnings": study_view.warnings(study, contents=contents, now=service.predictor.identity),
        "conformal": contents.conformal,
        "feedback": service.store.feedback(study.id),
        "saved": False,
        "with_evidence": with_evidence,
        "shown": shown,
        "joint": joint_view(study),
        "fields": form_fields(service.predictor),
        "known": joint["known"] if joint else {},
        "objection": "",
    }
