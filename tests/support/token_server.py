"""An OAuth2 token server of Authlib for one client, by client credentials, in a thread of this process."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.models import ClientMixin
from flask import Flask
from werkzeug.serving import make_server

CLIENT, SECRET, SCOPE = "node", "s-1", "dicom"


class _Client(ClientMixin):  # type: ignore[misc]
    client_id = CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return scope if scope == SCOPE else ""

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant: str) -> bool:
        return grant == "client_credentials"


@dataclass
class TokenServer:
    """Its URL, and the tokens that it gave."""

    url: str
    tokens: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running(*, expires: int = 3600) -> Iterator[TokenServer]:
    app, given = Flask("tokens"), TokenServer("")
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": expires}

    def save(token: dict[str, Any], _: Any) -> None:
        given.tokens.append(token["access_token"])

    def find(client: str) -> _Client | None:
        return _Client() if client == CLIENT else None

    before = os.environ.get("AUTHLIB_INSECURE_TRANSPORT")
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # of the server alone: it listens at 127.0.0.1
    server = AuthorizationServer(app, query_client=find, save_token=save)
    server.register_grant(ClientCredentialsGrant)
    app.post("/token")(server.create_token_response)
    http = make_server("127.0.0.1", 0, app)
    given.url = f"http://127.0.0.1:{http.server_port}/token"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield given
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        os.environ.pop("AUTHLIB_INSECURE_TRANSPORT")
        if before is not None:
            os.environ["AUTHLIB_INSECURE_TRANSPORT"] = before
