"""Send result objects to a peer: by C-STORE, or by STOW-RS with a check by QIDO-RS.

Addresses come from the settings only; no redirect is followed and no address in a response is used.
"""

import io
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.dataset import Dataset

from covid_xray.errors import CovidXrayError, MissingPackage
from covid_xray.images.dicom_file import TRANSFER_SYNTAXES
from covid_xray.pacs.phi_safe_logging import silence_libraries, suppress_phi
from covid_xray.pacs.results.study_report import as_comprehensive
from covid_xray.pacs.settings import Pacs, Peer
from covid_xray.pacs.tls import connecting_context

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

TIMEOUT = 30.0  # seconds, of a peer's response
NOT_ACCEPTED = "not-accepted"  # the peer never takes this SOP class: sending it again is no use
NATIVE = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")  # explicit and implicit VR little endian
_COMPRESSED = "1.2.840.10008.1.2.4.80"  # JPEG-LS lossless
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DUPLICATE = 0x0111  # the peer has an object with this SOP Instance UID
_REPORT, _PLAIN_REPORT = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.33"  # Comprehensive 3D, and not
_REFUSED_CLASS = ("refused", "http-400", "http-409", "http-415")  # what archives answer for a class that they lack
_WARNINGS = range(0xB000, 0xC000)  # statuses of objects that were stored with a remark


class PeerFailed(CovidXrayError):
    """A peer did not do what it was asked for. The code says why, without a word of the peer's response."""

    default_code = "peer-failed"


@dataclass(frozen=True)
class SendResult:
    """The outcome of sending one object: an empty code when the peer has it; `plain` when as a Comprehensive SR."""

    code: str = ""
    plain: bool = False


def send(settings: Pacs, peer: Peer, objects: Sequence[bytes]) -> Iterator[SendResult]:
    """Send DICOM files one after the other; yield the outcome of each, in order."""
    return _send_web(peer, objects) if peer.dicomweb else _send_dicom(settings, peer, objects)


def web_client(peer: Peer) -> "DICOMwebClient":
    """Make a client of a peer's DICOMweb service. Raises `MissingPackage`, `UsageError`, `PeerFailed` (`no-token`)."""
    session = web_session(peer)
    from dicomweb_client import DICOMwebClient

    client = DICOMwebClient(url=str(peer.dicomweb), session=session)
    client.set_http_retry_params(retry=False)  # the forwarder retries, with longer delays
    return client


def web_session(peer: Peer) -> Any:
    """Make a session of requests with a peer's credentials. Raises as `web_client`."""
    try:
        import dicomweb_client  # noqa: F401
        import requests
    except ModuleNotFoundError:
        raise MissingPackage('dicomweb-client is not installed. Run: pip install "covid-xray[pacs]"') from None
    silence_libraries()

    class TimedAdapter(requests.adapters.HTTPAdapter):  # the client itself sets no timeout
        def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
            return super().send(request, *arguments, **{**options, "timeout": TIMEOUT})

    session = _oauth_session(peer) if peer.token_url else requests.Session()
    session.max_redirects = 0
    session.trust_env = False  # use no proxy or password of the environment
    session.verify = str(peer.authority) if peer.authority else True
    if peer.user:
        session.auth = (peer.user, peer.password or "")
    if peer.token:
        session.headers["Authorization"] = f"Bearer {peer.token}"
    session.mount("http://", TimedAdapter())
    session.mount("https://", TimedAdapter())
    if peer.token_url:
        _fetch_token(session, peer.token_url)
    return session


def _oauth_session(peer: Peer) -> Any:
    """Make a session that adds a token to each request and fetches another before it expires."""
    from authlib.integrations.requests_client import OAuth2Session

    return OAuth2Session(
        peer.client_id,
        peer.client_secret,
        scope=peer.scope,
        token_endpoint=peer.token_url,
        grant_type="client_credentials",
    )


def _fetch_token(session: Any, url: str) -> None:
    try:
        with suppress_phi("The token server gave no usable response"):
            session.fetch_token(url, grant_type="client_credentials")
    except (CovidXrayError, OSError):  # requests' exceptions are OSErrors
        raise PeerFailed("The token server of the peer gave no token.", code="no-token") from None


def _send_dicom(settings: Pacs, peer: Peer, objects: Sequence[bytes]) -> Iterator[SendResult]:
    datasets = [_read(data) for data in objects]
    try:
        association = associate(settings, peer, _classes(datasets))
    except PeerFailed as error:
        yield from (SendResult(error.code) for _ in objects)
        return
    try:
        for one in datasets:
            yield _store(association, one)
    finally:
        if association.is_established:
            association.release()


def associate(settings: Pacs, peer: Peer, classes: set[str], *, receives: Collection[str] = (), **options: Any) -> Any:
    """Open an association with a peer for these SOP classes; `options` are those of pynetdicom's `AE.associate`.

    Each class is proposed with explicit and with implicit VR little endian, the one of them that every program knows.
    Classes that it `receives`, by C-GET, are proposed in every transfer syntax that can be read.

    Raises:
        PeerFailed: `no-association` (no connection, or no answer), `rejected`, `not-accepted` (none of the classes).
    """
    from pynetdicom import AE, build_role

    silence_libraries()
    entity = AE(ae_title=settings.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = TIMEOUT
    entity.maximum_pdu_size = 0
    for uid in sorted(classes):
        entity.add_requested_context(uid, [*NATIVE])
    for uid, syntax in itertools.product(sorted(receives), sorted(TRANSFER_SYNTAXES)):
        entity.add_requested_context(uid, syntax)
    if receives:
        options["ext_neg"] = [build_role(uid, scp_role=True) for uid in receives]
    if _SECONDARY_CAPTURE in classes and _can_compress():
        entity.add_requested_context(_SECONDARY_CAPTURE, _COMPRESSED)
    if peer.tls and settings.tls:
        options["tls_args"] = (connecting_context(settings.tls, peer), peer.server_name or peer.host)
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title or "", **options)
    if association.is_established:
        return association
    if association.is_rejected:
        raise PeerFailed("The peer rejected the association. Check the AE titles on both sides.", code="rejected")
    if association.rejected_contexts:
        raise PeerFailed("The peer takes none of these SOP classes.", code=NOT_ACCEPTED)
    raise PeerFailed("No association: no program listens there, or the peer does not answer.", code="no-association")


def _classes(datasets: Sequence[Dataset]) -> set[str]:
    """Return the SOP classes to propose; for a 3D report also the plain one, for a peer that takes no other."""
    classes = {str(one.SOPClassUID) for one in datasets}
    return classes | {_PLAIN_REPORT} if _REPORT in classes else classes


def _store(association: Any, one: Dataset) -> SendResult:
    if not association.is_established:
        return SendResult("no-answer")
    plain = one.SOPClassUID == _REPORT and not accepted_syntaxes(association, _REPORT)
    one = as_comprehensive(one) if plain else one
    syntaxes = accepted_syntaxes(association, str(one.SOPClassUID))
    if not syntaxes:
        return SendResult(NOT_ACCEPTED)
    try:
        with suppress_phi("The association failed"):
            if _COMPRESSED in syntaxes:
                one.compress(_COMPRESSED, generate_instance_uid=False)
            status = association.send_c_store(one).get("Status")
    except CovidXrayError:
        return SendResult("no-answer")
    if status is None:
        return SendResult("no-answer")
    stored = status in (0, _DUPLICATE) or status in _WARNINGS
    return SendResult("" if stored else f"status-{status:04X}", plain)


def accepted_syntaxes(association: Any, sop_class: str) -> set[str]:
    """Return the transfer syntaxes in which the peer takes a SOP class; none where it does not take it."""
    contexts = (one for one in association.accepted_contexts if one.abstract_syntax == sop_class)
    return {str(one.transfer_syntax[0]) for one in contexts}


def _can_compress() -> bool:
    from pydicom.pixels.encoders.base import get_encoder

    return bool(get_encoder(_COMPRESSED).is_available)


def _send_web(peer: Peer, objects: Sequence[bytes]) -> Iterator[SendResult]:
    try:
        client, answers = web_client(peer), True
    except PeerFailed as error:
        yield from (SendResult(error.code) for _ in objects)
        return
    for data in objects:
        result = _stow(client, _read(data)) if answers else SendResult("no-answer")  # one timeout a batch is enough
        answers = answers and result.code != "no-answer"
        yield result


def _stow(client: "DICOMwebClient", one: Dataset) -> SendResult:
    """Store an object; a 3D report that the archive refuses as a plain one."""
    result = _stow_once(client, one)
    if one.SOPClassUID == _REPORT and result.code in _REFUSED_CLASS:
        return replace(_stow_once(client, as_comprehensive(one)), plain=True)
    return result


def _stow_once(client: "DICOMwebClient", one: Dataset) -> SendResult:
    """Store an object, then check that it is there: some archives answer 200 and store nothing."""
    try:
        with suppress_phi("The archive gave no usable response"):
            response = client.store_instances([one])
            if response.get("FailedSOPSequence"):
                return SendResult("refused")
            return SendResult() if _is_stored(client, one) else SendResult("not-there")
    except (CovidXrayError, OSError) as error:  # requests' exceptions are OSErrors; their text holds UIDs
        return SendResult(http_code(error))


def http_code(error: Exception) -> str:
    """Return the code of a failed request: `http-STATUS`, or `no-answer` where there was no response."""
    refusal = getattr(error, "response", None)
    return "no-answer" if refusal is None else f"http-{int(refusal.status_code)}"


def _is_stored(client: "DICOMwebClient", one: Dataset) -> bool:
    found = client.search_for_instances(
        str(one.StudyInstanceUID), str(one.SeriesInstanceUID), search_filters={"00080018": str(one.SOPInstanceUID)}
    )
    return any(item.get("00080018", {}).get("Value", [None])[0] == str(one.SOPInstanceUID) for item in found)


def _read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))
