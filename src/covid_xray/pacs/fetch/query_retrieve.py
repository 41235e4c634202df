"""Fetch the radiographs of studies by C-FIND and C-GET or C-MOVE (PS3.4 C, study root).

With C-GET the archive sends them on the same association. With C-MOVE it opens one to the AE title of this node, which
the archive must know: the running node receives them, or this program listens in its place.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from covid_xray.errors import CovidXrayError
from covid_xray.inference.finding import Failure
from covid_xray.pacs.fetch.selection import PullReport, StudySelection, is_uid
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.receiver import Receiver
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import RADIOGRAPHS
from covid_xray.pacs.store_scp import StoreScp, receiving_into
from covid_xray.pacs.store_scu import PeerFailed, associate
from covid_xray.pacs.work_queue import PULLED

_FIND, _MOVE, _GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))  # study root
_MODALITIES = ("CR", "DX")
_TOGETHER = 20  # instances per request
_PENDING = (0xFF00, 0xFF01)
_SUCCESS, _PROCESSING_FAILURE = 0x0000, 0x0110
_SOME_FAILED = (0xB000, 0xA702)


def fetch(
    settings: Pacs,
    name: str,
    receiver: Receiver,
    selection: StudySelection,
    report: PullReport,
    *,
    node_runs: bool,
) -> None:
    """Fetch every CR and DX image of the selected studies of the peer called `name`, the newest study first.

    Raises:
        PeerFailed: the peer does not answer, or refuses.
        UsageError: this program cannot listen for what C-MOVE brings.
    """
    peer = settings.peer(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(receiving_into(receiver.spool))
        if peer.retrieve == "move" and not node_runs:
            own = settings.model_copy(update={"callers": (*settings.callers, peer.ae_title or "")})
            stack.enter_context(StoreScp(own, receiver, limits=settings.limits).listening())
        with _associated(settings, name, receiver, report) as association:
            for study in selection.studies or _list_studies(association, selection):
                for series in _list_series(association, study):
                    _retrieve_series(association, settings, peer.retrieve, study, series, report)


@contextlib.contextmanager
def _associated(settings: Pacs, name: str, receiver: Receiver, report: PullReport) -> Iterator[Any]:
    from pynetdicom import evt

    def store(event: Any) -> int:
        return _receive(event, receiver, name, report)

    peer = settings.peer(name)
    by_get = peer.retrieve == "get"
    association = associate(
        settings,
        peer,
        {_FIND, _GET if by_get else _MOVE},
        receives=RADIOGRAPHS if by_get else (),
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _receive(event: Any, receiver: Receiver, name: str, report: PullReport) -> int:
    """Receive an object that C-GET brings; return the status of its C-STORE."""
    number = report.taken + report.known + len(report.failures) + 1
    try:
        new = receiver.receive(event.dataset_path, origin=name, priority=PULLED)
    except CovidXrayError as error:
        report.failures.append(Failure(f"object {number}", error.code, error.message))
        return error.dicom_status
    except Exception as error:
        report.failures.append(Failure(f"object {number}", "unexpected", type(error).__name__))
        return _PROCESSING_FAILURE
    report.taken += new
    report.known += not new
    return _SUCCESS


def _list_studies(association: Any, selection: StudySelection) -> list[str]:
    """Return the studies since a date, the newest first."""
    assert selection.since is not None
    keys = {"StudyDate": f"{selection.since:%Y%m%d}-", "StudyTime": "", "StudyInstanceUID": ""}
    found = _find(association, "STUDY", **keys)
    found.sort(key=lambda item: (str(item.get("StudyDate")), str(item.get("StudyTime"))), reverse=True)
    return [_uid(item, "StudyInstanceUID") for item in found]


def _list_series(association: Any, study: str) -> list[str]:
    """Return the series of a study whose modality is that of radiographs, or not said."""
    found = _find(association, "SERIES", StudyInstanceUID=study, SeriesInstanceUID="", Modality="")
    wanted = (item for item in found if str(item.get("Modality") or "CR") in _MODALITIES)
    return [_uid(item, "SeriesInstanceUID") for item in wanted]


def _retrieve_series(association: Any, settings: Pacs, way: str, study: str, series: str, report: PullReport) -> None:
    """Retrieve the radiographs of a series, some at a time, so that no other object is transferred."""
    keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    found = _find(association, "IMAGE", **keys, SOPInstanceUID="", SOPClassUID="")
    wanted = [one for one in found if str(one.get("SOPClassUID") or "") in {"", *RADIOGRAPHS}]
    uids = [_uid(one, "SOPInstanceUID") for one in wanted]
    for start in range(0, len(uids), _TOGETHER):
        request = _request("IMAGE", **keys, SOPInstanceUID=uids[start : start + _TOGETHER])
        before = len(report.failures)
        with _translated():
            if way == "get":
                answers = association.send_c_get(request, _GET)
            else:
                answers = association.send_c_move(request, settings.ae_title, _MOVE)
            last = list(answers)[-1][0]
        _note_outcome(last, report, counted=way == "get", failed_here=len(report.failures) - before)


def _note_outcome(last: Dataset, report: PullReport, *, counted: bool, failed_here: int) -> None:
    """Add the final response of a request to the report. Raises `PeerFailed` when it is no success."""
    status = last.get("Status")
    failed = int(last.get("NumberOfFailedSuboperations") or 0)
    if status is None or not (status == _SUCCESS or (failed and status in _SOME_FAILED)):
        word = "no answer" if status is None else f"status {status:04X}"
        raise PeerFailed(f"The peer did not send the images ({word}). Check its settings for this AE title.")
    if not counted:
        report.taken += int(last.get("NumberOfCompletedSuboperations") or 0)
    for _ in range(failed - failed_here):
        report.failures.append(Failure("an object", "peer-failed", "The peer could not send it."))


def _find(association: Any, level: str, **keys: Any) -> list[Dataset]:
    """Return what the peer finds. Raises `PeerFailed`."""
    found = []
    with _translated():
        for status, item in association.send_c_find(_request(level, **keys), _FIND):
            code = status.get("Status")
            if code in _PENDING:
                found.append(item)
            elif code != _SUCCESS:
                raise PeerFailed("The peer refused the query or did not answer it.")
    return found


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what pynetdicom and a broken response raise into `PeerFailed`."""
    try:
        with suppress_phi("The peer gave no usable response"):
            yield
    except PeerFailed:
        raise
    except (CovidXrayError, OSError):
        raise PeerFailed("The association with the peer broke off, or its response is not readable.") from None


def _request(level: str, **keys: Any) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


def _uid(item: Dataset, keyword: str) -> str:
    value = str(item.get(keyword) or "")
    if not is_uid(value):
        raise PeerFailed("The peer's response has an invalid UID.")
    return value
