"""Studies named by UID or date in, their radiographs fetched by DICOMweb and taken in as if they had been sent.

QIDO-RS tells which instances are CR or DX, WADO-RS gives each; no address of an answer is followed, and what an answer
calls a UID is used only when it is one.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.errors import Busy, CovidXrayError, UsageError
from covid_xray.files import folder_lock
from covid_xray.inference.finding import Failure
from covid_xray.inference.predictor import Predictor
from covid_xray.limits import Limits
from covid_xray.pacs.phi_safe_logging import quietly
from covid_xray.pacs.service import Door, Works, door, works
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.source_object import RADIOGRAPHS
from covid_xray.pacs.store_scu import PeerFailed, web_client

if TYPE_CHECKING:
    from dicomweb_client import DICOMwebClient

_PAGE = 200  # studies of one answer
_STUDY, _SERIES, _SOP, _CLASS = "0020000D", "0020000E", "00080018", "00080016"


@dataclass(frozen=True)
class Wanted:
    """Which studies: these, or all of a day and later."""

    studies: tuple[str, ...] = ()
    since: date | None = None


@dataclass
class Pulled:
    """What came of it."""

    taken: int = 0
    known: int = 0
    answered: int = 0
    left: int = 0
    remark: str = ""
    failures: list[Failure] = field(default_factory=list)


def wanted(studies: Sequence[str], since: str | None) -> Wanted:
    """What was asked for. Raises `UsageError` when it is neither UIDs nor a date."""
    if bool(studies) == bool(since):
        raise UsageError("expected --study UID or --since DATE. Received: both or none")
    for uid in studies:
        if not _is_uid(uid):
            raise UsageError("expected --study to be a Study Instance UID. Received: another text")
    try:
        return Wanted(tuple(studies), date.fromisoformat(since) if since else None)
    except ValueError:
        raise UsageError(f"expected --since to be a date such as 2026-11-26. Received: {since}") from None


def pull(settings: Pacs, predictor: Callable[[], Predictor], name: str, what: Wanted) -> Pulled:
    """Fetch, take in, answer, send. Where a node works on this store, it does the answering and sending.

    Args:
        settings: of the node, with the peer.
        predictor: called when the answering is ours.
        name: of the peer.
        what: is to be fetched.

    Raises:
        UsageError: no such peer, or one without DICOMweb.
        PeerFailed: it does not answer.
    """
    peer = settings.peer(name)
    if not peer.dicomweb:
        raise UsageError(f"expected a peer with dicomweb. Received: {name}, which has none")
    client, pulled = web_client(peer), Pulled()
    if _taken(settings.folder):
        with door(settings, limits=Limits()) as entry:
            _fetch(client, entry, name, what, pulled)
        pulled.remark = "; the running node answers and sends"
        return pulled
    with works(settings, predictor()) as parts:
        _fetch(client, parts, name, what, pulled)
        pulled.answered = parts.answer_all()
        parts.send_all()
        pulled.left = len(parts.arrivals.open_deliveries())
    return pulled


def _fetch(client: "DICOMwebClient", entry: Door | Works, name: str, what: Wanted, pulled: Pulled) -> None:
    for number, (study, series, sop) in enumerate(_instances(client, what), start=1):
        try:
            with _file(client, entry.spool.incoming, study, series, sop) as received:
                new = entry.intake.take(received, origin=name)
            pulled.taken += new
            pulled.known += not new
        except CovidXrayError as error:
            pulled.failures.append(Failure(f"object {number}", error.code, error.message))


def _instances(client: "DICOMwebClient", what: Wanted) -> Iterator[tuple[str, str, str]]:
    """Study, series and instance of every radiograph."""
    for study in what.studies or _studies(client, what):
        for item in _asked(client.search_for_instances, study, fields=["SOPClassUID"]):
            if _value(item, _CLASS) in RADIOGRAPHS:
                yield study, _uid(item, _SERIES), _uid(item, _SOP)


def _studies(client: "DICOMwebClient", what: Wanted) -> Iterator[str]:
    """The studies of a day and later; each page is asked for when the one before is done with."""
    assert what.since is not None
    filters, offset = {"StudyDate": f"{what.since:%Y%m%d}-"}, 0
    seen: set[str] = set()
    while True:
        page = _asked(client.search_for_studies, limit=_PAGE, offset=offset, search_filters=filters)
        new = [uid for item in page if (uid := _uid(item, _STUDY)) not in seen]
        yield from new
        seen.update(new)
        offset += len(page)
        if not new:  # the end, or an archive that does not page
            return


@contextlib.contextmanager
def _file(client: "DICOMwebClient", folder: Path, study: str, series: str, sop: str) -> Iterator[Path]:
    """One instance as a file in `folder`, which is gone after the block."""
    dataset = _asked(client.retrieve_instance, study, series, sop)
    with quietly("an object that can be written"):
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".dcm") as received:
        received.write(stream.getvalue())
        received.flush()
        yield Path(received.name)


def _asked(question: Callable[..., Any], *of: str, **more: Any) -> Any:
    """The answer of a peer. Raises `PeerFailed`."""
    try:
        with quietly("an archive that answers"):
            return question(*of, **more)
    except (CovidXrayError, OSError):  # requests' exceptions are OSErrors
        raise PeerFailed("expected the peer to answer by DICOMweb. Received: an error or nothing") from None


def _value(item: dict[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _uid(item: dict[str, Any], tag: str) -> str:
    value = _value(item, tag)
    if not _is_uid(value):
        raise PeerFailed("expected the peer to name objects by UIDs. Received: another text")
    return value


def _is_uid(text: str) -> bool:
    from pydicom.uid import UID

    return UID(text, 0).is_valid


def _taken(folder: Path) -> bool:
    """Whether a node works in the folder now."""
    try:
        with folder_lock(folder):
            return False
    except Busy:
        return True
