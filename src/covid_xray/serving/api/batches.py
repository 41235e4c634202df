"""Serve /api/v1/batch and /jobs: accept many images at once and process them in the background."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from covid_xray.limits import Limits
from covid_xray.serving.api.predict import IdempotencyKey, bind_key, problems
from covid_xray.serving.api.schemas import ItemOut, JobOut
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.http.uploads import OVERHEAD, multipart_files, openapi_body
from covid_xray.serving.jobs import Job

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of the job.")]


def router(limits: Limits) -> APIRouter:
    """Build the routes; `limits` bound the size of a batch."""
    api = APIRouter(tags=["batches"])

    @api.post(
        "/batch",
        response_model=JobOut,
        status_code=202,
        responses=problems(400, 408, 413, 422, 507),
        max_body_size=limits.zip_bytes + OVERHEAD * 16,
        openapi_extra=openapi_body(many=True),
    )
    async def create_batch(
        request: Request, service: Server, who: Reader, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Accept images, zip or tar archives as a job. They are on disk when this returns; the answers follow."""
        most, admission = service.predictor.limits.zip_entries, service.admission
        async with admission.admit(), multipart_files(request, files=most) as files, admission.slot():
            sent = [(part.filename or "", part.file) for part in files]
            key = bind_key(who, request, idempotency_key)
            identity = await run_in_threadpool(service.jobs.accept, sent, uploader=who.name, key=key)
        service.jobs.announce()
        await run_in_threadpool(service.audit.record, who, "batch", identity)
        job = job_out(await run_in_threadpool(service.jobs.job, identity))
        headers = {"Location": f"/api/v1/jobs/{identity}"}
        return JSONResponse(job.model_dump(mode="json"), status_code=202, headers=headers)

    @api.get("/jobs/{id}", response_model=JobOut, responses=problems(404, 422))
    def get_job(service: Server, who: Reader, id: JobId) -> JobOut:
        """Return the progress of a job: each image becomes a study or a refusal with its code."""
        found = service.jobs.job(id)
        service.audit.record(who, "view", id)
        return job_out(found)

    return api


def job_out(job: Job) -> JobOut:
    """Convert a job to its JSON form."""
    return JobOut(
        id=job.id,
        created=job.created,
        finished=job.finished,
        state="done" if job.finished else "running",
        total=len(job.items),
        answered=sum(item.study_id is not None for item in job.items),
        failed=sum(item.code is not None for item in job.items),
        items=[ItemOut.model_validate(item) for item in job.items],
    )
