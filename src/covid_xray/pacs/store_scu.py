"""Result objects in, a peer that has them out: by C-STORE, or by STOW-RS and a look with QIDO-RS.

Addresses come from the settings only; no redirect is followed and no address in an answer is used.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from covid_xray.errors import CovidXrayError, MissingPackage
from covid_xray.pacs.phi_safe_logging import quietly, silence
from covid_xray.pacs.settings import Pacs, Peer

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient
    from pydicom.dataset import Dataset

SECONDS = 30.0  # that a peer may take for an answer
_SYNTAX = "1.2.840.10008.1.2.1"  # explicit VR little endian, of all results
_WARNINGS = range(0xB000, 0xC000)  # stored, with a remark


class PeerFailed(CovidXrayError):
    """A peer has not got an object. The code says why, without a word of the peer's."""

    default_code = "peer-failed"


@dataclass(frozen=True)
class Sent:
    """What came of one object: an empty code when the peer has it."""

    code: str = ""


def send(settings: Pacs, peer: Peer, objects: Sequence[bytes]) -> Iterator[Sent]:
    """Send objects, DICOM files, one after the other; what came of each, in order."""
    return _send_web(peer, objects) if peer.dicomweb else _send_dicom(settings, peer, objects)


def web_client(peer: Peer) -> "DICOMwebClient":
    """A client of a peer's DICOMweb, which follows no redirect. Raises `MissingPackage`, `UsageError`."""
    try:
        import requests
        from dicomweb_client import DICOMwebClient
    except ModuleNotFoundError:
        raise MissingPackage('expected dicomweb-client to be installed: pip install "covid-xray[pacs]"') from None
    silence()
    session = requests.Session()
    session.max_redirects = 0
    session.trust_env = False  # no proxy and no password that somebody left in the environment
    session.verify = str(peer.authority) if peer.authority else True
    if peer.user:
        session.auth = (peer.user, peer.password or "")
    if peer.token:
        session.headers["Authorization"] = f"Bearer {peer.token}"
    session.mount("http://", _patient(requests))
    session.mount("https://", _patient(requests))
    client = DICOMwebClient(url=str(peer.dicomweb), session=session)
    client.set_http_retry_params(retry=False)  # tries again are for the courier, which waits longer each time
    return client


def _patient(requests: Any) -> Any:
    """An adapter whose requests end: the client sets no time of its own."""

    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
            return super().send(request, *arguments, **{**options, "timeout": SECONDS})

    return Adapter()


def _send_dicom(settings: Pacs, peer: Peer, objects: Sequence[bytes]) -> Iterator[Sent]:
    datasets = [_read(data) for data in objects]
    association = associate(settings, peer, {str(one.SOPClassUID) for one in datasets})
    if association is None:
        yield from (Sent("no-association") for _ in objects)
        return
    try:
        for one in datasets:
            yield _store(association, one)
    finally:
        if association.is_established:
            association.release()


def associate(settings: Pacs, peer: Peer, classes: set[str], *, role: Mapping[str, Any] | None = None) -> Any:
    """An association with a peer for these SOP classes, or `None` when there is none to be had."""
    from pynetdicom import AE

    silence()
    entity = AE(ae_title=settings.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = SECONDS
    entity.maximum_pdu_size = 0
    for uid in sorted(classes):
        entity.add_requested_context(uid, _SYNTAX)
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title or "", **(role or {}))
    return association if association.is_established else None


def _store(association: Any, one: "Dataset") -> Sent:
    try:
        with quietly("an association that lasts"):
            status = association.send_c_store(one).get("Status") if association.is_established else None
    except CovidXrayError:
        return Sent("not-accepted")  # the peer has no place for this SOP class
    if status is None:
        return Sent("no-answer")
    return Sent() if status == 0 or status in _WARNINGS else Sent(f"status-{status:04X}")


def _send_web(peer: Peer, objects: Sequence[bytes]) -> Iterator[Sent]:
    client, answered = web_client(peer), True
    for data in objects:
        sent = _stow(client, _read(data)) if answered else Sent("no-answer")  # who is away stays away for a while
        answered = answered and sent.code != "no-answer"
        yield sent


def _stow(client: "DICOMwebClient", one: "Dataset") -> Sent:
    """Store an object, then look whether it is there: some archives answer 200 and store nothing."""
    try:
        with quietly("an archive that answers"):
            answer = client.store_instances([one])
            if answer.get("FailedSOPSequence"):
                return Sent("refused")
            return Sent() if _is_there(client, one) else Sent("not-there")
    except (CovidXrayError, OSError) as error:  # requests' exceptions are OSErrors, and hold addresses with UIDs
        response = getattr(error, "response", None)
        return Sent("no-answer" if response is None else f"http-{int(response.status_code)}")


def _is_there(client: "DICOMwebClient", one: "Dataset") -> bool:
    found = client.search_for_instances(
        str(one.StudyInstanceUID), str(one.SeriesInstanceUID), search_filters={"00080018": str(one.SOPInstanceUID)}
    )
    return any(item.get("00080018", {}).get("Value", [None])[0] == str(one.SOPInstanceUID) for item in found)


def _read(data: bytes) -> "Dataset":
    import pydicom

    return pydicom.dcmread(io.BytesIO(data))
