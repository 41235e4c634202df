"""Complete the OpenAPI document that FastAPI builds: who must authenticate how, and whole examples."""

from typing import Any

from fastapi import FastAPI

from covid_xray.serving.api import bulk, schemas, sessions, tokens
from covid_xray.serving.http.access import COOKIE

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/api/v1/login"})  # without authentication
_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `covid-xray user token NAME`, within its scope, or `COVID_XRAY_TOKEN`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The cookie of a log-in. Requests that change something need the header `csrf` too.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "The `csrf_token` of `/api/v1/me`.",
    },
}
_SAFE = frozenset({"get", "head", "options"})
_MODELS = {**vars(schemas), **vars(sessions), **vars(tokens), **vars(bulk)}


def complete_openapi(app: FastAPI) -> None:
    """Let `app.openapi` return the completed document."""
    build = app.openapi

    def build_whole() -> dict[str, Any]:
        is_built = app.openapi_schema is not None
        document = build()
        if not is_built:
            document["components"]["schemas"]["Problem"] = schemas.Problem.model_json_schema()
            _restore_examples(document)
            _add_security(document)
        return document

    app.openapi = build_whole  # type: ignore[method-assign]


def _restore_examples(document: dict[str, Any]) -> None:
    """Restore the nulls that FastAPI drops from examples, and with them required fields."""
    for name, schema in document["components"]["schemas"].items():
        model = _MODELS.get(name)
        if model is not None and "examples" in schema:
            schema["examples"] = model.model_config["json_schema_extra"]["examples"]


def _add_security(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = _SCHEMES
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            session = ["session"] if method in _SAFE else ["session", "csrf"]
            choices = [] if path in OPEN_PATHS else [["bearer"], session]
            operation["security"] = [{name: [] for name in names} for names in choices]
