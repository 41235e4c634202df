"""Fetch the radiographs of studies by DICOMweb and receive them like objects sent by C-STORE.

QIDO-RS lists the CR and DX instances, WADO-RS retrieves each. No address in a response is followed, and a UID in a
response is used only when it is valid.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.errors import CovidXrayError
from covid_xray.inference.finding import Failure
from covid_xray.pacs.fetch.selection import PullReport, StudySelection, is_uid
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.receiver import Receiver
from covid_xray.pacs.source_object import RADIOGRAPHS
from covid_xray.pacs.store_scu import PeerFailed
from covid_xray.pacs.work_queue import PULLED

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

_PAGE = 200  # studies per response
_STUDY, _SERIES, _SOP, _CLASS = "0020000D", "0020000E", "00080018", "00080016"


def fetch(
    client: "DICOMwebClient", receiver: Receiver, name: str, selection: StudySelection, report: PullReport
) -> None:
    """Receive every radiograph of the selected studies of the peer called `name`. Raises `PeerFailed`."""
    for number, (study, series, sop) in enumerate(_list_instances(client, selection), start=1):
        try:
            with _retrieve(client, receiver.spool.incoming, study, series, sop) as received:
                new = receiver.receive(received, origin=name, priority=PULLED)
            report.taken += new
            report.known += not new
        except CovidXrayError as error:
            report.failures.append(Failure(f"object {number}", error.code, error.message))


def _list_instances(client: "DICOMwebClient", selection: StudySelection) -> Iterator[tuple[str, str, str]]:
    """Yield study, series and instance UID of every radiograph."""
    for study in selection.studies or _list_studies(client, selection):
        for item in _call(client.search_for_instances, study, fields=["SOPClassUID"]):
            if _value(item, _CLASS) in RADIOGRAPHS:
                yield study, _uid(item, _SERIES), _uid(item, _SOP)


def _list_studies(client: "DICOMwebClient", selection: StudySelection) -> Iterator[str]:
    """Yield the studies since a date, page by page."""
    assert selection.since is not None
    filters, offset = {"StudyDate": f"{selection.since:%Y%m%d}-"}, 0
    listed: set[str] = set()
    while True:
        page = _call(client.search_for_studies, limit=_PAGE, offset=offset, search_filters=filters)
        new = [uid for item in page if (uid := _uid(item, _STUDY)) not in listed]
        yield from new
        listed.update(new)
        offset += len(page)
        if not new:  # the end, or an archive without paging
            return


@contextlib.contextmanager
def _retrieve(client: "DICOMwebClient", folder: Path, study: str, series: str, sop: str) -> Iterator[Path]:
    """Write one instance to a file in `folder` that is deleted after the block."""
    dataset = _call(client.retrieve_instance, study, series, sop)
    with suppress_phi("The object cannot be written as a DICOM file"):
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".dcm") as received:
        received.write(stream.getvalue())
        received.flush()
        yield Path(received.name)


def _call(request: Callable[..., Any], *arguments: str, **options: Any) -> Any:
    """Return the peer's response. Raises `PeerFailed`."""
    try:
        with suppress_phi("The archive gave no usable response"):
            return request(*arguments, **options)
    except (CovidXrayError, OSError):  # requests' exceptions are OSErrors
        raise PeerFailed("The peer answered the DICOMweb request with an error or not at all.") from None


def _value(item: dict[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _uid(item: dict[str, Any], tag: str) -> str:
    value = _value(item, tag)
    if not is_uid(value):
        raise PeerFailed("The peer's response has an invalid UID.")
    return value
