"""The pages of one study: the viewer with the answer, the printable report, feedback, the question before deleting."""

import threading
from collections import OrderedDict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from covid_xray.errors import InputRefused
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.serving.api.studies import StudyId, joined
from covid_xray.serving.http.access import Admin, Reader, Server
from covid_xray.serving.http.uploads import fields
from covid_xray.serving.pages.worklist_pages import Choice, query_string
from covid_xray.serving.service import Service
from covid_xray.serving.views import drawings, study_view
from covid_xray.serving.views.clinical_view import form_fields, joint_words, record_of
from covid_xray.serving.views.rendering import is_partial, page
from covid_xray.serving.views.study_view import bars as bars_of
from covid_xray.store import worklist
from covid_xray.store.accounts import Principal
from covid_xray.store.records import Study
from covid_xray.store.store import Store

__all__ = ["StudyId", "bars_of", "router"]
_ALONE = {"before": None, "after": None, "query": ""}  # of a study that was opened from no list
THUMBNAIL = 144  # pixels of the longer side


class Thumbnails:
    """The last few hundred small pictures, so that a list is not drawn anew from whole radiographs. Thread-safe."""

    def __init__(self, *, most: int = 512) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def of(self, store: Store, study: Study) -> bytes:
        """The PNG of a study that is there. Raises `NotFound` when it has gone meanwhile."""
        with self._lock:
            if study.id in self._kept:
                self._kept.move_to_end(study.id)
                return self._kept[study.id]
        drawn = drawings.image_png(store, study, longest=THUMBNAIL)
        with self._lock:
            self._kept[study.id] = drawn
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return drawn


def router() -> APIRouter:
    """The routes."""
    pages = APIRouter()
    thumbnails = Thumbnails()

    @pages.get("/studies/{id}/thumb.png")
    def thumb(service: Server, who: Reader, id: StudyId) -> Response:
        """A small picture for lists; the list is what is audited."""
        return Response(thumbnails.of(service.store, service.store.study(id)), media_type="image/png")

    _show(pages)
    _change(pages)
    return pages


def _show(pages: APIRouter) -> None:
    @pages.get("/studies/{id}")
    def study(service: Server, request: Request, who: Reader, id: StudyId, choice: Choice) -> Response:
        """The viewer. The query is that of the worklist it was opened from, for its neighbours."""
        found = service.store.study(id)
        service.audit.record(who, "view", id)
        before, after = worklist.neighbours(service.store.database, choice.query, id)
        facts = {"before": before, "after": after, "query": query_string(choice.given)}
        return page(request, "study.html", {**_facts(service, found), **facts}, who=who)

    @pages.get("/studies/{id}/report")
    def report(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        """Everything on paper."""
        found = service.store.study(id)
        service.audit.record(who, "view", id)
        return page(request, "report.html", _facts(service, found), who=who)

    @pages.get("/studies/{id}/delete")
    def ask(service: Server, request: Request, who: Admin, id: StudyId) -> Response:
        """Are you sure?"""
        return page(request, "delete.html", {"study": service.store.study(id)}, who=who)


def _change(pages: APIRouter) -> None:
    @pages.post("/studies/{id}/clinical")
    async def clinical(service: Server, request: Request, who: Reader, id: StudyId) -> Response:
        """Answer for the image and what is known of the patient."""
        return await _clinical(service, request, who, id)

    @pages.post("/studies/{id}/delete")
    def delete(service: Server, request: Request, who: Admin, id: StudyId) -> Response:
        """Delete it."""
        service.store.delete(id)
        service.audit.record(who, "delete", id)
        return RedirectResponse("/worklist", status_code=303)

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
        """Agree, disagree or correct; the label counts only with `correct`."""
        found = service.store.study(id)
        right = (label or None) if verdict == "correct" else None
        service.store.add_feedback(found, reader=who.name, verdict=verdict, label=right, note=note)
        service.audit.record(who, "feedback", id)
        if not is_partial(request):
            return RedirectResponse(f"/studies/{id}#feedback", status_code=303)
        facts = {"study": found, "feedback": service.store.feedback(id), "said": True}
        return page(request, "feedback.html", facts, who=who)


async def _clinical(service: Service, request: Request, who: Principal, identity: str) -> Response:
    """What is known of the patient, from the form; what is wrong with it is said on the page."""
    values = {name: text for name, text in (await fields(request)).items() if text.strip()}
    try:
        await joined(service, who, identity, record_of(values, service.predictor))
    except InputRefused as error:
        study = await run_in_threadpool(service.store.study, identity)
        facts = await run_in_threadpool(_facts, service, study)
        said = {**_ALONE, "known": values, "objection": error.message}
        return page(request, "study.html", {**facts, **said}, who=who, status=error.http_status)
    return RedirectResponse(f"/studies/{identity}#patient", status_code=303)


def _facts(service: Service, study: Study) -> dict[str, Any]:
    """What viewer and report say of a study."""
    joint = study.finding.get("joint")
    maps = service.store.class_maps(study)
    with_evidence = [name for name, it in zip(study.probabilities, maps, strict=True) if drawings.has_evidence(it)]
    shown = drawings.most_probable(study)
    return {
        "study": study,
        "cannot_say": study.label == CANNOT_SAY,
        "bars": bars_of(study),
        "checks": study_view.checks(study),
        "warnings": study_view.warnings(study, facts=service.predictor.bundle.facts, now=service.predictor.identity),
        "conformal": service.predictor.bundle.facts.get("conformal"),
        "feedback": service.store.feedback(study.id),
        "said": False,
        "with_evidence": with_evidence,
        "shown": shown,
        "joint": joint_words(study),
        "fields": form_fields(service.predictor),
        "known": joint["known"] if joint else {},
        "objection": "",
    }
