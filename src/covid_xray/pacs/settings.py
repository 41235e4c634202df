"""Define the settings of the DICOM node. Only peers named here are contacted, never an address from a message."""

import os
import re
from pathlib import Path
from typing import Literal

import pydantic

from covid_xray.config import FileLimits, NamedPath, Serving, Settings
from covid_xray.errors import UsageError
from covid_xray.limits import Limits

Kind = Literal["sc", "sr", "seg", "gsps", "pdf", "fhir4", "fhir5", "hl7"]
_DICOM_KINDS = frozenset({"sc", "sr", "seg", "gsps", "pdf", "ko"})
_SUFFIXES = {"fhir4": "json", "fhir5": "json", "hl7": "hl7"}  # of the kinds that are no DICOM
AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")  # PS3.5 6.2 AE: 16 characters, no backslash
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Tls(Settings):
    """The certificate of this node for DICOM over TLS, and whose certificates it accepts. Files are PEM."""

    certificate: NamedPath
    key: NamedPath | None = None  # None: it is in the file of the certificate
    key_password_env: str | None = None  # name of the environment variable with the password of the key
    authority: NamedPath  # certificates of the authorities that callers and peers have theirs from
    require_certificate: bool = True  # from callers
    callers: dict[str, str] = pydantic.Field(default_factory=dict)  # AE title: SHA-256 of the certificate it must have

    @pydantic.field_validator("callers")
    @classmethod
    def _check_callers(cls, callers: dict[str, str]) -> dict[str, str]:
        plain = {title: digits.replace(":", "").lower() for title, digits in callers.items()}
        if not all(_SHA256.fullmatch(digits) for digits in plain.values()):
            raise ValueError("a caller's certificate is given by its SHA-256: 64 hexadecimal digits")
        return plain

    @property
    def key_password(self) -> str | None:
        """Read the password of the key from the environment. Raises `UsageError`."""
        return _read_secret(self.key_password_env)


class Peer(Settings):
    """Another system: a `folder`, a `fhir` or `dicomweb` server, or a program at `host` and `port`.

    That program takes HL7 v2 messages by MLLP with `hl7`, else DICOM, for which it has an `ae_title`.
    """

    host: str | None = None
    port: int = pydantic.Field(104, ge=1, le=65535)
    ae_title: str | None = None
    tls: bool = False  # DICOM over TLS, with the certificate of the node's `tls`
    server_name: str | None = None  # that its certificate must have; None: `host`
    retrieve: Literal["get", "move"] = "get"  # by which `pacs pull` fetches where there is no DICOMweb
    commitment: bool = False  # a result is sent when the peer has confirmed by Storage Commitment that it keeps it
    commitment_seconds: float = pydantic.Field(600.0, gt=0)  # until it must have done so; then the result is sent again
    dicomweb: str | None = None  # root URL, such as https://pacs.example/dicom-web
    folder: NamedPath | None = None  # gets all that is made, as files
    fhir: str | None = None  # base URL of a FHIR server, such as https://fhir.example/r4
    fhir_version: Literal["R4", "R5"] = "R4"
    hl7: bool = False
    user: str | None = None  # of DICOMweb or FHIR
    password_env: str | None = None  # name of the environment variable with the password
    token_env: str | None = None  # name of the environment variable with a bearer token
    token_url: str | None = None  # where OAuth2 gives a token for `client_id` and its secret (client credentials)
    client_id: str | None = None
    client_secret_env: str | None = None  # name of the environment variable with the secret
    scope: str | None = None  # of the token, such as https://www.googleapis.com/auth/cloud-healthcare
    authority: NamedPath | None = None  # PEM file of its certificate authority, where the system does not know it

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Peer":
        web = self.dicomweb or self.fhir
        if not web and not self.folder and not (self.host and (self.ae_title or self.hl7)):
            raise ValueError("a peer needs dicomweb, fhir or folder, or host and ae_title, or host and hl7")
        if self.ae_title is not None and not AE_TITLE.fullmatch(self.ae_title):
            raise ValueError("an AE title has 1 to 16 characters")
        if web and not web.startswith(("https://", "http://")):
            raise ValueError("dicomweb and fhir begin with https:// or http://")
        if self.token_url and not (self.client_id and self.client_secret_env):
            raise ValueError("token_url needs client_id and client_secret_env")
        return self

    @property
    def is_dicom(self) -> bool:
        """Return whether the peer is reached by DICOM associations."""
        return not (self.folder or self.fhir or self.dicomweb or self.hl7)

    @property
    def kinds(self) -> frozenset[str] | None:
        """Return the kinds of results that the peer takes; `None` for all."""
        if self.folder:
            return None
        if self.fhir:
            return frozenset({f"fhir{self.fhir_version[1]}"})
        return frozenset({"hl7"}) if self.hl7 else _DICOM_KINDS

    @property
    def password(self) -> str | None:
        """Read the password from the environment. Raises `UsageError`."""
        return _read_secret(self.password_env)

    @property
    def token(self) -> str | None:
        """Read the bearer token from the environment. Raises `UsageError`."""
        return _read_secret(self.token_env)

    @property
    def client_secret(self) -> str | None:
        """Read the secret of the OAuth2 client from the environment. Raises `UsageError`."""
        return _read_secret(self.client_secret_env)


class Pacs(Settings):
    """Settings of one DICOM node."""

    store: NamedPath = Serving.model_fields["store"].default  # shared with `covid-xray serve`, whose worklist shows all
    database: str | None = None  # URL, as for `covid-xray serve`
    retention_hours: float = pydantic.Field(720.0, ge=0)  # after which studies are deleted; 0 keeps them
    quota_bytes: int = pydantic.Field(20 << 30, ge=1 << 20)  # for stored images
    ae_title: str = "COVIDXRAY"
    host: str = "127.0.0.1"
    port: int = pydantic.Field(11112, ge=0, le=65535)  # 0: any free one
    callers: tuple[str, ...] = ()  # AE titles that may send to the node
    tls: Tls | None = None  # receive over TLS only, and send so to peers with `tls`
    associations: int = pydantic.Field(10, ge=1, le=100)  # at the same time
    connections_per_address: int = pydantic.Field(16, ge=1, le=1000)  # with those that requested no association yet
    artim_seconds: float = pydantic.Field(30.0, gt=0)  # for a new connection to request its association
    idle_seconds: float = pydantic.Field(60.0, gt=0)  # after which a silent association is closed
    waiting: int = pydantic.Field(20_000, ge=1)  # unprocessed objects; more are refused with 0xA700
    reserve_bytes: int = pydantic.Field(256 << 20, ge=0)  # free disk space below which objects are refused with 0xA700
    batch: int = pydantic.Field(8, ge=1, le=64)  # objects per run of the network
    results: tuple[Kind, ...] = ("sc", "sr", "seg")
    study_quiet_seconds: float = pydantic.Field(10.0, ge=0)  # without a new image, before the report of a study is made
    share: float = pydantic.Field(0.5, gt=0, lt=1)  # region: heat map above this share of its maximum
    peers: dict[str, Peer] = pydantic.Field(default_factory=dict)
    send_to: tuple[str, ...] = ()  # peers that get the results; none: results are in the worklist only
    retry_seconds: float = pydantic.Field(5.0, gt=0)  # before the second try, doubled each time
    retry_longest: float = pydantic.Field(900.0, gt=0)  # seconds between two tries
    give_up_hours: float = pydantic.Field(168.0, gt=0)
    test_mode: bool = False  # make all results, send none: they stay in the spool until `retention_hours`
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = pydantic.Field(None, ge=0, le=65535)  # for Prometheus; 0: any free one
    require_site: bool = False  # answer "cannot say" where the bundle was not checked at this hospital (`--site`)
    drift_reference: Path | None = None  # as for `covid-xray serve`
    limits: FileLimits = pydantic.Field(default_factory=Limits)  # for objects: bytes, pixels, seconds ...

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Pacs":
        for title in (self.ae_title, *self.callers):
            if not AE_TITLE.fullmatch(title):
                raise ValueError("an AE title has 1 to 16 characters")
        for name in self.peers:
            if not _NAME.fullmatch(name):
                raise ValueError("a peer's name has lower-case letters, digits, - and _")
        for name in self.send_to:
            if name not in self.peers:
                raise ValueError(f"send_to names {name}, but the peers are {', '.join(self.peers) or 'none'}")
            if not any(self.takes(name, kind) for kind in self.results):
                wanted = ", ".join(sorted(self.peers[name].kinds or ()))
                raise ValueError(f"nothing is made for {name}: add {wanted} to results")
        if self.tls is None and any(peer.tls for peer in self.peers.values()):
            raise ValueError("a peer has tls, but the node has no certificate: set tls of the node too")
        return self

    def takes(self, name: str, kind: str) -> bool:
        """Return whether a peer takes a kind of result."""
        kinds = self.peers[name].kinds if name in self.peers else None
        return kinds is None or kind in kinds

    @property
    def folder(self) -> Path:
        """Return the folder of received objects and unsent results."""
        return self.store.expanduser() / "pacs"

    def serving(self) -> Serving:
        """Return the settings of the store as `covid-xray serve` has them."""
        return Serving(store=self.store, database=self.database, quota_bytes=self.quota_bytes)

    def peer(self, name: str) -> Peer:
        """Return a peer by its name. Raises `UsageError`."""
        if name not in self.peers:
            raise UsageError(f"No such peer: {name}. The settings have {', '.join(self.peers) or 'none'}.")
        return self.peers[name]


def suffix_of(kind: str) -> str:
    """Return the suffix of the file names of a kind of result."""
    return _SUFFIXES.get(kind, "dcm")


def _read_secret(variable: str | None) -> str | None:
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise UsageError(f"The environment variable {variable} is not set. Set it to the secret of the peer.")
    return value
