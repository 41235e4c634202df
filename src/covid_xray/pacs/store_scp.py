"""Answer C-STORE and C-ECHO: success means that the object is on disk and committed, anything else that it is not.

Every refusal, of an association or an object, is counted with its reason and its sender.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray.errors import CovidXrayError, MissingPackage
from covid_xray.images.dicom_file import TRANSFER_SYNTAXES
from covid_xray.limits import Limits
from covid_xray.pacs.commitment import COMMITMENT, record_report, report_senders
from covid_xray.pacs.phi_safe_logging import silence_libraries
from covid_xray.pacs.receiver import AnnouncedObject, Receiver, too_large
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.pacs.tls import fingerprint_of, listening_context
from covid_xray.pacs.work_queue import LIVE, PULLED, URGENT
from covid_xray.store.image_files import room_on_disk

_MAX_PDU = 256 << 10  # bytes
_MAX_TAGS = 1 << 20  # bytes of an object beside its pixels
_ENDLESS = 4  # times the most bytes of an object: such a sender is not waited for
_COMMENT = 64  # characters of an Error Comment
_PROCESSING_FAILURE = 0x0110
_VERIFICATION = "1.2.840.10008.1.1"
_HIGH = 0x0001  # priority of a C-STORE
_NO_LIMIT = 10_000  # associations by pynetdicom's count, which counts silent connections too
# Why an association is rejected, with result, source and diagnostic of A-ASSOCIATE-RJ (PS3.8 9.3.4).
_REJECTIONS = {
    "unknown-caller": ((1, 1, 3), "The calling AE title is not one of `callers`."),
    "wrong-called-title": ((1, 1, 7), "The called AE title is not that of this node."),
    "wrong-certificate": ((1, 1, 1), "The certificate is not the one that `tls.callers` has for this AE title."),
    "too-many-associations": ((2, 3, 2), "The node has as many associations as `associations` allows."),
}


class StoreScp:
    """The DICOM server of a node; it hands each object to `receiver`."""

    def __init__(self, settings: Pacs, receiver: Receiver, *, limits: Limits) -> None:
        self._settings, self._receiver = settings, receiver
        self._max_bytes = limits.upload_bytes * 2
        self._received: dict[int, int] = {}  # bytes of the current object by association
        self._callers = {*settings.callers, *report_senders(settings)}
        self._admitted: set[Any] = set()  # associations
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def listening(self) -> Iterator[int]:
        """Listen while the block runs; yield the port. Raises `UsageError` when the address is in use."""
        from pynetdicom import _config, evt

        from covid_xray.pacs.association_server import serving

        silence_libraries()
        _config.LOG_HANDLER_LEVEL = "none"
        handlers = [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_ACCEPTED, self._note_contexts),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, lambda _: 0),
            (evt.EVT_N_EVENT_REPORT, self._receive_report),
            (evt.EVT_DATA_RECV, self._count_bytes),
            (evt.EVT_CONN_CLOSE, self._discard_unfinished),
        ]
        refusals, tls = self._receiver.refusals, self._settings.tls
        context = listening_context(tls) if tls else None
        with (
            receiving_into(self._receiver.spool),
            serving(self._entity(), self._settings, refusals, tls=context, handlers=handlers) as server,
        ):
            yield int(server.socket.getsockname()[1])

    def _entity(self) -> Any:
        from pynetdicom import AE, AllStoragePresentationContexts

        entity = AE(ae_title=self._settings.ae_title)
        entity.maximum_associations = _NO_LIMIT
        entity.maximum_pdu_size = _MAX_PDU
        entity.network_timeout = entity.dimse_timeout = self._settings.idle_seconds
        entity.acse_timeout = self._settings.artim_seconds
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, sorted(TRANSFER_SYNTAXES))
        entity.add_supported_context(_VERIFICATION)
        entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)  # the archive is its provider
        return entity

    def _admit(self, event: Any) -> None:
        """Reject an association that may not be, and count it with its reason."""
        code = self._refusal_of(event.assoc)
        if code:
            answer, reason = _REJECTIONS[code]
            event.assoc.acse.send_reject(*answer)
            self._refuse(code, reason, event)
            event.assoc.kill()  # when the answer is sent

    def _refusal_of(self, association: Any) -> str:
        request = association.requestor.primitive
        if request.calling_ae_title not in self._callers:
            return "unknown-caller"
        if not self._has_its_certificate(association):
            return "wrong-certificate"
        if request.called_ae_title != self._settings.ae_title:
            return "wrong-called-title"
        with self._lock:
            self._admitted = {one for one in self._admitted if one.is_alive()}
            if len(self._admitted) >= self._settings.associations:
                return "too-many-associations"
            self._admitted.add(association)
        return ""

    def _has_its_certificate(self, association: Any) -> bool:
        known = self._settings.tls.callers if self._settings.tls else {}
        wanted = known.get(association.requestor.primitive.calling_ae_title)
        return wanted is None or wanted == fingerprint_of(association.dul.socket.socket)

    def _note_contexts(self, event: Any) -> None:
        """Count an association in which a kind of object or an encoding is not accepted."""
        if event.assoc.rejected_contexts:
            self._refuse("presentation-context", "A SOP class or all its transfer syntaxes are not supported.", event)

    def _refuse(self, code: str, reason: str, event: Any) -> None:
        peer = event.assoc.requestor
        title = str(peer.primitive.calling_ae_title) if peer.primitive else ""
        self._receiver.refusals.note(code, reason, ae_title=title, address=peer.address_info.address)

    def _store(self, event: Any) -> Any:
        """Receive one object; return the status of the C-STORE, where it failed with an Error Comment."""
        size = self._received.pop(id(event.assoc), 0)
        request, caller = event.request, event.assoc.requestor.ae_title
        try:
            announced = AnnouncedObject(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            if size > self._max_bytes + _MAX_TAGS:
                raise too_large(self._max_bytes)
            path, priority = event.dataset_path, self._priority_of(request)
            with room_on_disk():
                self._receiver.receive(path, origin=caller, announced=announced, priority=priority)
        except CovidXrayError as error:
            self._refuse(error.code, error.message, event)
            return _status(error.dicom_status, error.message)
        except Exception as error:
            reason = f"It failed unexpectedly ({type(error).__name__})."
            self._refuse("unexpected", reason, event)
            return _status(_PROCESSING_FAILURE, reason)
        return 0x0000

    def _receive_report(self, event: Any) -> tuple[int, None]:
        """Take note of what an archive has committed itself to; return the status of the N-EVENT-REPORT."""
        return record_report(event, self._receiver.queue, self._receiver.spool), None

    def _priority_of(self, request: Any) -> int:
        """Return the priority of an object: low where it comes because this node asked an archive for it by C-MOVE."""
        if request.MoveOriginatorApplicationEntityTitle == self._settings.ae_title:
            return PULLED
        return URGENT if request.Priority == _HIGH else LIVE

    def _count_bytes(self, event: Any) -> None:
        """Keep no bytes of an object that is too large, and abort the association of one without an end."""
        key = id(event.assoc)
        self._received[key] = self._received.get(key, 0) + len(event.data)
        if self._received[key] > self._max_bytes + _MAX_TAGS and (file := _unfinished(event.assoc)):
            file.seek(0)
            file.truncate()
        if self._received[key] > _ENDLESS * self._max_bytes + _MAX_TAGS:
            self._received[key] = 0
            self._refuse("too-large", f"An object of more than {self._max_bytes:,} bytes: association aborted.", event)
            threading.Thread(target=event.assoc.abort, daemon=True).start()

    def _discard_unfinished(self, event: Any) -> None:
        """Delete the incomplete object of an association that ended."""
        self._received.pop(id(event.assoc), None)
        file = _unfinished(event.assoc)
        if file is not None:  # pynetdicom leaves it open; one that is missed here is deleted by the clean-up
            file.close()
            self._receiver.spool.remove(Path(file.name))
            self._refuse("incomplete", "The association ended within an object.", event)


@contextlib.contextmanager
def receiving_into(spool: Spool) -> Iterator[None]:
    """Let pynetdicom write objects into files of the spool as they come: it never holds one in memory."""
    from pynetdicom import _config

    _config.STORE_RECV_CHUNKED_DATASET = True
    before, tempfile.tempdir = tempfile.tempdir, str(spool.incoming)
    try:
        yield
    finally:
        tempfile.tempdir = before


def require_packages() -> None:
    """Raise `MissingPackage` without pynetdicom."""
    try:
        import pynetdicom  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('pynetdicom is not installed. Run: pip install "covid-xray[pacs]"') from None


def _unfinished(association: Any) -> Any:
    """Return the file of the object that an association is receiving, or None."""
    return getattr(getattr(association.dimse, "message", None), "_data_set_file", None)


def _status(status: int, message: str) -> Any:
    """Make a response with an Error Comment; our messages hold no value of a data set."""
    from pydicom.dataset import Dataset

    response = Dataset()
    response.Status = status
    words = message.encode("ascii", "replace").decode().replace("\\", "/")
    response.ErrorComment = words if len(words) <= _COMMENT else words[: _COMMENT - 3].rsplit(" ", 1)[0] + "..."
    return response
