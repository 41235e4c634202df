"""A YAML or TOML file in, the settings of the DICOM node out: where it listens, to whom, and where results go.

Peers are named here and nowhere else: no address out of a message is ever used.
"""

import os
import re
from pathlib import Path
from typing import Literal

import pydantic

from covid_xray.config import Serving, Settings
from covid_xray.errors import UsageError

Kind = Literal["sc", "sr", "seg", "gsps"]
_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")  # PS3.5 6.2 AE: 16 characters, no backslash
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Peer(Settings):
    """Another system: by DICOM (`host`, `port`, `ae_title`), by DICOMweb (`dicomweb`), or by both, then DICOMweb."""

    host: str | None = None
    port: int = pydantic.Field(104, ge=1, le=65535)
    ae_title: str | None = None
    dicomweb: str | None = None  # root of QIDO-RS, WADO-RS and STOW-RS, such as https://pacs.example/dicom-web
    user: str | None = None  # of DICOMweb
    password_env: str | None = None  # the environment variable that holds the password
    token_env: str | None = None  # the environment variable that holds a bearer token
    authority: Path | None = None  # PEM of who vouches for its certificate, where the system's list does not

    @pydantic.model_validator(mode="after")
    def _reachable(self) -> "Peer":
        if not self.dicomweb and not (self.host and self.ae_title):
            raise ValueError("expected dicomweb, or host and ae_title")
        if self.ae_title is not None and not _AE_TITLE.fullmatch(self.ae_title):
            raise ValueError("expected an AE title of 1 to 16 characters")
        if self.dicomweb and not self.dicomweb.startswith(("https://", "http://")):
            raise ValueError("expected a DICOMweb root that begins with https:// or http://")
        return self

    @property
    def password(self) -> str | None:
        """From the environment."""
        return _secret(self.password_env)

    @property
    def token(self) -> str | None:
        """From the environment."""
        return _secret(self.token_env)


class Pacs(Settings):
    """One DICOM node."""

    store: Path = Serving.model_fields[
        "store"
    ].default  # the folder of `covid-xray serve`, so that its worklist shows all
    database: str | None = None  # of `covid-xray serve`
    retention_hours: float = pydantic.Field(720.0, ge=0)  # studies older than this are deleted; 0 keeps them
    quota_bytes: int = pydantic.Field(20 << 30, ge=1 << 20)  # of images
    ae_title: str = "COVIDXRAY"
    host: str = "127.0.0.1"
    port: int = pydantic.Field(11112, ge=0, le=65535)  # 0: any free one
    callers: tuple[str, ...] = ()  # AE titles that may send
    associations: int = pydantic.Field(10, ge=1, le=100)  # at once
    idle_seconds: float = pydantic.Field(60.0, gt=0)  # of an association without a message
    waiting: int = pydantic.Field(20_000, ge=1)  # objects that have no answer yet; more are refused with 0xA700
    reserve_bytes: int = pydantic.Field(256 << 20, ge=0)  # of the disk; below it objects are refused with 0xA700
    batch: int = pydantic.Field(8, ge=1, le=64)  # objects in one run of the network
    results: tuple[Kind, ...] = ("sc", "sr", "seg")
    share: float = pydantic.Field(0.5, gt=0, lt=1)  # of the heat map's maximum, above which it is region
    peers: dict[str, Peer] = pydantic.Field(default_factory=dict)
    send_to: tuple[str, ...] = ()  # names of peers that get the results; none: results are in the worklist only
    retry_seconds: float = pydantic.Field(5.0, gt=0)  # before the second try; doubled each time
    retry_longest: float = pydantic.Field(900.0, gt=0)  # seconds
    give_up_hours: float = pydantic.Field(168.0, gt=0)

    @pydantic.model_validator(mode="after")
    def _sound(self) -> "Pacs":
        for title in (self.ae_title, *self.callers):
            if not _AE_TITLE.fullmatch(title):
                raise ValueError("expected AE titles of 1 to 16 characters")
        for name in self.peers:
            if not _NAME.fullmatch(name):
                raise ValueError("expected names of peers of lower-case letters, digits, - and _")
        for name in self.send_to:
            if name not in self.peers:
                raise ValueError(f"expected send_to to name peers of {', '.join(self.peers) or 'none'}")
        return self

    @property
    def folder(self) -> Path:
        """Where objects and results lie until they are done with."""
        return self.store.expanduser() / "pacs"

    def serving(self) -> Serving:
        """The store's settings as `covid-xray serve` knows them."""
        return Serving(store=self.store, database=self.database, quota_bytes=self.quota_bytes)

    def peer(self, name: str) -> Peer:
        """A peer by its name. Raises `UsageError`."""
        if name not in self.peers:
            raise UsageError(f"expected a peer of {', '.join(self.peers) or 'none'}. Received: {name}")
        return self.peers[name]


def _secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise UsageError(f"expected the environment variable {variable} to be set. Received: none")
    return value
