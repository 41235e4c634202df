"""Serve /api/v1/bulk: delete, read or give feedback on many studies at once; each gets its own result."""

from collections.abc import Callable, Sequence
from typing import Annotated

import pydantic
from fastapi import APIRouter, Body

from covid_xray.errors import CovidXrayError, InputRefused, NotFound
from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import FeedbackIn, StudyOut, example, study_out
from covid_xray.serving.api.studies import add_feedback, remove_study
from covid_xray.serving.http.access import Admin, Reader, Server

MOST = 500
_ID = "3f2a9c0d5b8e4f6a8c1d2e3f4a5b6c7d"
StudyKey = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{32}$")]


class StudyIds(pydantic.BaseModel):
    """Ids of studies."""

    model_config = example({"ids": [_ID]}, extra="forbid")

    ids: list[StudyKey] = pydantic.Field(min_length=1, max_length=MOST)


class StudyFeedback(FeedbackIn):
    """A verdict on the study `id`."""

    model_config = example({"id": _ID, "verdict": "agree", "label": None, "note": ""}, extra="forbid")

    id: StudyKey


class FeedbackBatch(pydantic.BaseModel):
    """Verdicts on many studies."""

    model_config = example({"feedback": [{"id": _ID, "verdict": "agree", "label": None, "note": ""}]}, extra="forbid")

    feedback: list[StudyFeedback] = pydantic.Field(min_length=1, max_length=MOST)


class BulkItem(pydantic.BaseModel):
    """What became of one study: done, or why not."""

    model_config = example({"id": _ID, "code": "not-found", "message": "No such study."})

    id: str
    code: str | None = pydantic.Field(description="Why it was not done; null when it was.")
    message: str | None


class BulkOut(pydantic.BaseModel):
    """Results in the order of the request."""

    model_config = example({"done": 1, "failed": 0, "results": [{"id": _ID, "code": None, "message": None}]})

    done: int
    failed: int
    results: list[BulkItem]


class StudiesOut(pydantic.BaseModel):
    """Those of the studies that exist, in the order of the request, and the ids of the others."""

    model_config = example({"studies": [], "missing": [_ID]})

    studies: list[StudyOut]
    missing: list[str]


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["bulk"], prefix="/bulk")

    @api.post("/studies", response_model=StudiesOut, responses=problems(422))
    def bulk_read(service: Server, who: Reader, given: Annotated[StudyIds, Body()]) -> StudiesOut:
        """Return many studies."""
        found = service.store.studies(given.ids)
        for identity in found:
            service.audit.record(who, "view", identity)
        studies = [study_out(found[each]) for each in given.ids if each in found]
        return StudiesOut(studies=studies, missing=[each for each in given.ids if each not in found])

    @api.post("/delete", response_model=BulkOut, responses=problems(422))
    def bulk_delete(service: Server, who: Admin, given: Annotated[StudyIds, Body()]) -> BulkOut:
        """Delete many studies with their images and feedback. Admins only."""
        return _each(given.ids, lambda number: remove_study(service, who, given.ids[number]))

    @api.post("/feedback", response_model=BulkOut, responses=problems(422))
    def bulk_feedback(service: Server, who: Reader, given: Annotated[FeedbackBatch, Body()]) -> BulkOut:
        """Agree, disagree or correct, for many studies."""
        items = given.feedback
        return _each(
            [it.id for it in items], lambda number: add_feedback(service, who, items[number].id, items[number])
        )

    return api


def _each(ids: Sequence[str], act: Callable[[int], object]) -> BulkOut:
    """Act on each study by its number; a study that is refused or gone does not stop the others."""
    results = []
    for number, identity in enumerate(ids):
        error: CovidXrayError | None = None
        try:
            act(number)
        except (InputRefused, NotFound) as refusal:
            error = refusal
        code, message = (error.code, error.message) if error else (None, None)
        results.append(BulkItem(id=identity, code=code, message=message))
    failed = sum(item.code is not None for item in results)
    return BulkOut(done=len(results) - failed, failed=failed, results=results)
