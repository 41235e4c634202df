"""Serve /api/v1/tokens: list, make and revoke bearer tokens."""

from datetime import datetime
from typing import Annotated

import pydantic
from fastapi import APIRouter, Body, Path, Query

from covid_xray.errors import NotAllowed
from covid_xray.serving.api.predict import problems
from covid_xray.serving.api.schemas import example
from covid_xray.serving.http.access import Reader, Server
from covid_xray.serving.http.login import require_session
from covid_xray.serving.service import Service
from covid_xray.store.accounts import TOKEN_DAYS, TOKEN_ID, token_id
from covid_xray.store.principals import Principal, Scope

MOST_DAYS = 3650
TokenId = Annotated[str, Path(pattern=f"^[0-9a-f]{{{TOKEN_ID}}}$", description="Id of the token.")]
_TOKEN = {
    "id": "9f86d081884c",
    "user": "reader",
    "name": "nightly export",
    "scope": "read",
    "created": "2026-11-25T08:15:30Z",
    "expires": "2027-11-25T08:15:30Z",
    "used": None,
}


class TokenIn(pydantic.BaseModel):
    """Purpose, scope and lifetime of a new token."""

    model_config = example({"name": "nightly export", "scope": "read", "days": 365}, extra="forbid")

    name: str = pydantic.Field("", max_length=64)
    scope: Scope = pydantic.Field("read", description="`metrics`, `read`, `write` (what readers may) or `all`.")
    days: int = pydantic.Field(int(TOKEN_DAYS), ge=1, le=MOST_DAYS)


class TokenOut(pydantic.BaseModel):
    """A bearer token without its secret."""

    model_config = example(_TOKEN)

    id: str
    user: str
    name: str
    scope: Scope
    created: datetime
    expires: datetime | None
    used: datetime | None = pydantic.Field(description="Last use; at most an hour late.")


class NewTokenOut(TokenOut):
    """A new bearer token with its secret, which is shown this once."""

    model_config = example({**_TOKEN, "secret": "a5Tn0..."})

    secret: str


def router() -> APIRouter:
    """Build the routes."""
    api = APIRouter(tags=["tokens"])
    everyone = Query(description="Those of all users. Admins only.")

    @api.get("/tokens", response_model=list[TokenOut], responses=problems(422))
    def list_tokens(service: Server, who: Reader, everyone: Annotated[bool, everyone] = False) -> list[TokenOut]:
        """List one's own tokens, oldest first."""
        if everyone and who.role != "admin":
            raise NotAllowed("Only an admin may list the tokens of others. Leave out `everyone`.")
        found = service.accounts.tokens(None if everyone else who.name)
        return [TokenOut.model_validate(vars(token)) for token in found]

    @api.post("/tokens", response_model=NewTokenOut, status_code=201, responses=problems(422))
    def create_token(service: Server, who: Reader, given: Annotated[TokenIn, Body()]) -> NewTokenOut:
        """Make a token with at most one's own rights. It takes a session; a token cannot make another one."""
        secret = add_token(service, who, name=given.name, scope=given.scope, days=given.days)
        made = next(token for token in service.accounts.tokens(who.name) if token.id == token_id(secret))
        return NewTokenOut(**vars(made), secret=secret)

    @api.delete("/tokens/{id}", status_code=204, responses=problems(404, 422))
    def delete_token(service: Server, who: Reader, id: TokenId) -> None:
        """Revoke one of one's own tokens; admins may revoke any."""
        revoke(service, who, id)

    return api


def add_token(service: Service, who: Principal, *, name: str, scope: Scope, days: int) -> str:
    """Make a token for the user who is logged in and return its secret. Raises `NotAllowed` (`no-session`)."""
    require_session(who)
    secret = service.accounts.new_token(who.name, name=name, scope=scope, days=days)
    service.audit.record(who, "add-token", token_id(secret))
    return secret


def revoke(service: Service, who: Principal, identity: str) -> None:
    """Revoke a token of the caller, or any for admins. Raises `NotFound`."""
    service.accounts.revoke_token(identity, user=None if who.role == "admin" else who.name)
    service.audit.record(who, "revoke-token", identity)
