"""Log in by OpenID Connect: the authorization code flow with PKCE, a state and a nonce.

The browser keeps state, nonce and verifier in a signed cookie for ten minutes. The identity token is accepted with a
valid signature of the provider's keys and the right issuer, audience, nonce and time only. A user is known by issuer
and subject, never by the name, which people may change at their provider.
"""

import hashlib
import hmac
import json
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import Request, Response

from covid_xray.connections import OpenId
from covid_xray.errors import Busy, CovidXrayError, NotLoggedIn, UsageError
from covid_xray.serving.http import access, login
from covid_xray.serving.service import Service
from covid_xray.store.principals import Principal, Role

COOKIE = "covid-xray-openid"
PATH = "/login/openid"
_SECONDS = 600
_DISCOVERY_SECONDS = 3600.0
_LEEWAY_SECONDS = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True)
class _Flow:
    """A log-in under way, as its cookie holds it."""

    state: str
    nonce: str
    verifier: str
    next: str
    until: float


class Provider:
    """One OpenID provider. Thread-safe.

    Args:
        settings: issuer, client and claims.
        fetch_seconds: within which the provider must answer.
    """

    def __init__(self, settings: OpenId, *, fetch_seconds: float = 10.0) -> None:
        self.settings, self._fetch_seconds = settings, fetch_seconds
        self._lock = threading.Lock()
        self._cached: tuple[float, dict[str, Any]] = (0.0, {})

    def begin(self, service: Service, request: Request, response: Response, *, next: str) -> str:
        """Start a log-in: set its cookie and return the provider's URL to redirect to. Raises `Busy`."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        flow = _Flow(state, nonce, verifier, next, time.time() + _SECONDS)
        with self._client(request) as client:
            url, _ = client.create_authorization_url(
                self._document()["authorization_endpoint"],
                state=flow.state,
                nonce=flow.nonce,
                code_verifier=flow.verifier,
            )
        is_https = access.own_origin(request).startswith("https:")
        value = _sign(service.secret, json.dumps(asdict(flow)))  # Lax: the provider's redirect must bring it
        response.set_cookie(COOKIE, value, max_age=_SECONDS, path=PATH, httponly=True, samesite="lax", secure=is_https)
        return str(url)

    def finish(self, service: Service, request: Request, response: Response) -> str:
        """End a log-in: check the provider's answer, start a session and return the page to go to.

        Raises:
            NotLoggedIn: the answer belongs to no log-in of this browser, is invalid, or the user is in no group that
                may log in (`openid-refused`).
            InputRefused: another user has the name.
            Busy: the provider does not answer.
        """
        try:
            flow = _flow(service, request)
            claims = self._claims(request, flow)
            subject = f"{self.settings.issuer} {claims['sub']}"
            name = str(claims.get(self.settings.name_claim) or "")
            user = service.accounts.user_of_subject(subject, name=name, role=self._role(claims))
        except CovidXrayError as error:
            who = Principal("unknown", "reader", "session", access.client_address(request))
            service.audit.record(who, "log-in-failed", "openid", code=error.code)
            raise
        response.delete_cookie(COOKIE, path=PATH)
        login.start_session(service, request, response, name=user.name)
        return flow.next

    def _claims(self, request: Request, flow: _Flow) -> dict[str, Any]:
        """Exchange the code and return the checked claims of the identity token, with those of the user's profile."""
        from authlib.common.errors import AuthlibBaseError
        from httpx2 import HTTPError
        from joserfc.errors import JoseError

        document = self._document()
        try:
            with self._client(request) as client:
                token = client.fetch_token(
                    document["token_endpoint"],
                    authorization_response=f"{access.own_origin(request)}{request.url.path}?{request.url.query}",
                    state=flow.state,
                    code_verifier=flow.verifier,
                )
                claims = self._verify(token["id_token"], self._get(client, document["jwks_uri"]), flow.nonce)
                if "userinfo_endpoint" in document:
                    profile = self._get(client, document["userinfo_endpoint"])
                    if profile.get("sub") == claims["sub"]:
                        claims = {**profile, **claims}
        except HTTPError:
            raise _no_answer() from None
        except (AuthlibBaseError, JoseError, KeyError, TypeError, ValueError):
            raise _refused("The provider's answer is invalid. Try again, or look into the provider's log.") from None
        return claims

    def _verify(self, token: str, keys: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.jwk import KeySet

        known: Any = keys
        claims = jwt.decode(token, KeySet.import_key_set(known), algorithms=_ALGORITHMS).claims
        required = {
            "iss": self.settings.issuer,
            "aud": self.settings.client_id,
            "nonce": nonce,
        }
        options: Any = {name: {"essential": True, "value": value} for name, value in required.items()}
        options |= {name: {"essential": True} for name in ("exp", "sub")}
        jwt.JWTClaimsRegistry(leeway=_LEEWAY_SECONDS, **options).validate(claims)
        return dict(claims)

    def _role(self, claims: Mapping[str, Any]) -> Role:
        found = claims.get(self.settings.groups_claim) or []
        groups = {found} if isinstance(found, str) else set(map(str, found))
        if groups & set(self.settings.admin_groups):
            return "admin"
        if not self.settings.reader_groups or groups & set(self.settings.reader_groups):
            return "reader"
        raise _refused("Your account is in no group that may log in here. Ask an admin.")

    def _document(self) -> dict[str, Any]:
        """Fetch the provider's configuration, at most once an hour."""
        from httpx2 import Client, HTTPError

        with self._lock:
            fetched, document = self._cached
            if document and time.monotonic() - fetched < _DISCOVERY_SECONDS:
                return document
            try:
                with Client(timeout=self._fetch_seconds) as client:
                    url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                    document = self._get(client, url)
            except (HTTPError, ValueError):
                raise _no_answer() from None
            if document.get("issuer") != self.settings.issuer:
                message = "The OpenID provider calls itself otherwise than `openid.issuer`. Use its own name of itself."
                raise UsageError(message, code="openid-issuer")
            self._cached = (time.monotonic(), document)
            return document

    def _client(self, request: Request) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        secret = self.settings.client_secret
        return OAuth2Client(
            self.settings.client_id,
            secret.get_secret_value() if secret else None,
            scope=self.settings.scope,
            redirect_uri=f"{access.own_origin(request)}{PATH}/callback",
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            timeout=self._fetch_seconds,
        )

    def _get(self, client: Any, url: str) -> dict[str, Any]:
        answer = client.get(url)
        answer.raise_for_status()
        return dict(answer.json())


def _flow(service: Service, request: Request) -> _Flow:
    """Read the log-in that this browser began; the provider's answer must be to it."""
    text = _unsign(service.secret, request.cookies.get(COOKIE, ""))
    flow = _Flow(**json.loads(text)) if text else None
    state = request.query_params.get("state", "")
    if flow is None or flow.until < time.time() or not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise _refused("The log-in took too long or began in another browser. Log in again.")
    return flow


def _sign(key: bytes, text: str) -> str:
    body = urlsafe_b64encode(text.encode()).decode()
    return f"{body}.{hmac.new(key, f'openid {body}'.encode(), hashlib.sha256).hexdigest()}"


def _unsign(key: bytes, value: str) -> str | None:
    body, _, signature = value.partition(".")
    wanted = hmac.new(key, f"openid {body}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
        return None
    return urlsafe_b64decode(body).decode()


def _refused(message: str) -> NotLoggedIn:
    return NotLoggedIn(message, code="openid-refused")


def _no_answer() -> Busy:
    message = "The OpenID provider does not answer. Try again later, or log in with a password."
    return Busy(message, code="openid-unavailable", retry_after=30)
