"""Serve /api/v1/audit and /audit.csv: who viewed, changed or was refused what. Admins only."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from covid_xray.serving.api.lists import Bom, Since, Until, csv_download, csv_response
from covid_xray.serving.api.predict import Offset, problems
from covid_xray.serving.api.schemas import AuditOut
from covid_xray.serving.http.access import Admin, Server
from covid_xray.store import audit_log, exports

Text = Annotated[str | None, Query(min_length=1, max_length=64)]


def audit_query(
    who: Text = None,
    action: Text = None,
    what: Text = None,
    address: Text = None,
    since: Since = None,
    until: Until = None,
    refused: Annotated[bool, Query(description="Only what was refused.")] = False,
    before: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only lines with a smaller `id`: the next page.")
    ] = None,
) -> audit_log.AuditQuery:
    """Read the filters of the audit log from the URL."""
    return audit_log.AuditQuery(who, action, what, address, since, until, refused, before)


AuditFilter = Annotated[audit_log.AuditQuery, Depends(audit_query)]


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["audit"])
    limited = Query(ge=1, le=1000)

    @api.get("/audit", response_model=list[AuditOut], responses=problems(422))
    def list_audit(
        service: Server, who: Admin, query: AuditFilter, limit: Annotated[int, limited] = 100, offset: Offset = 0
    ) -> list[AuditOut]:
        """List who viewed, changed or was refused what, newest first. Admins only."""
        service.audit.record(who, "read-log")
        found = audit_log.read(service.store.database, query, limit=limit, offset=offset)
        return [AuditOut.model_validate(entry) for entry in found]

    @api.get("/audit.csv", response_class=Response, responses={**problems(422), **csv_response("The audit log.")})
    def export_audit(service: Server, who: Admin, query: AuditFilter, bom: Bom = False) -> Response:
        """Export the lines that match as CSV, oldest first, with the hashes of the chain. Admins only."""
        service.audit.record(who, "export-log")
        lines = exports.audit_csv(audit_log.every(service.store.database, query))
        return csv_download("audit.csv", lines, bom=bom)

    return api
