"""Define the settings of the systems that the server connects to: an OpenID provider, receivers of webhooks."""

from base64 import b64decode
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

import pydantic


class _Connection(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def _https(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1")):
        raise ValueError("The address must begin with https://")
    return url


def _strong(secret: pydantic.SecretStr) -> pydantic.SecretStr:
    text = secret.get_secret_value()
    if len(text) < 32:
        raise ValueError("The secret is too short. Use at least 32 random characters")
    if text.startswith("whsec_"):
        b64decode(text.removeprefix("whsec_"), validate=True)
    return secret


class OpenId(_Connection):
    """Log-in by an OpenID Connect provider; the callback is `/login/openid/callback`."""

    issuer: Annotated[str, pydantic.AfterValidator(_https)]  # as the provider calls itself
    client_id: str
    client_secret: pydantic.SecretStr | None = None  # COVID_XRAY_OPENID_SECRET; none: a public client
    scope: str = "openid profile email"
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    admin_groups: tuple[str, ...] = ()
    reader_groups: tuple[str, ...] = ()  # none: everybody whom the provider lets in
    label: str = "Log in with your hospital account"
    passwords: bool = True  # whether users of this server may log in with a password too


Event = Literal["study.created", "study.deleted", "feedback.created", "job.finished"]


class Webhook(_Connection):
    """An address that events are sent to (`serving.webhooks`)."""

    url: Annotated[str, pydantic.StringConstraints(max_length=1000), pydantic.AfterValidator(_https)]
    secret: Annotated[pydantic.SecretStr, pydantic.AfterValidator(_strong)]  # of the signatures
    events: tuple[Event, ...] = get_args(Event)
