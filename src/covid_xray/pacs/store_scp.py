"""Answer C-STORE and C-ECHO: success means that the object is on disk and committed, anything else that it is not."""

import contextlib
import logging
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray.errors import CovidXrayError, MissingPackage, UsageError
from covid_xray.images.dicom import TRANSFER_SYNTAXES
from covid_xray.limits import Limits
from covid_xray.pacs.phi_safe_logging import silence_libraries
from covid_xray.pacs.receiver import AnnouncedObject, Receiver
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.store.image_files import room_on_disk

_MAX_PDU = 256 << 10  # bytes
_MAX_TAGS = 1 << 20  # bytes of an object beside its pixels
_PROCESSING_FAILURE = 0x0110
_VERIFICATION = "1.2.840.10008.1.1"
_LOG = logging.getLogger("covid_xray.pacs")


class StoreScp:
    """The DICOM server of a node; it hands each object to `receiver`."""

    def __init__(self, settings: Pacs, receiver: Receiver, *, limits: Limits) -> None:
        self._settings, self._receiver = settings, receiver
        self._max_bytes = limits.upload_bytes * 2
        self._received: dict[int, int] = {}  # bytes of the current object by association

    @contextlib.contextmanager
    def listening(self) -> Iterator[int]:
        """Listen while the block runs; yield the port. Raises `UsageError` when the address is in use."""
        from pynetdicom import _config, evt

        silence_libraries()
        _config.STORE_RECV_CHUNKED_DATASET = True  # write to disk as it comes, never hold it in memory
        _config.LOG_HANDLER_LEVEL = "none"
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, lambda _: 0),
            (evt.EVT_DATA_RECV, self._count_bytes),
            (evt.EVT_CONN_CLOSE, self._discard_unfinished),
            (evt.EVT_REJECTED, self._log_rejection),
        ]
        host, port = self._settings.host, self._settings.port
        with _temporary_files_in(self._receiver.spool):
            try:
                server = self._entity().start_server((host, port), block=False, evt_handlers=handlers)
            except OSError:
                raise UsageError(
                    f"Cannot listen at {host} port {port}: in use, or no address of this machine. Set another."
                ) from None
            try:
                yield int(server.socket.getsockname()[1])
            finally:
                server.shutdown()

    def _entity(self) -> Any:
        from pynetdicom import AE, AllStoragePresentationContexts

        entity = AE(ae_title=self._settings.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self._settings.callers)
        entity.maximum_associations = self._settings.associations
        entity.maximum_pdu_size = _MAX_PDU
        entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = self._settings.idle_seconds
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, sorted(TRANSFER_SYNTAXES))
        entity.add_supported_context(_VERIFICATION)
        return entity

    def _store(self, event: Any) -> int:
        """Receive one object; return the status of the C-STORE."""
        self._received[id(event.assoc)] = 0
        request, caller = event.request, event.assoc.requestor.ae_title
        try:
            announced = AnnouncedObject(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            with room_on_disk():
                self._receiver.receive(event.dataset_path, origin=caller, announced=announced)
        except CovidXrayError as error:
            _LOG.warning("object from %s refused (%s)", caller, error.code)
            return error.dicom_status
        except Exception as error:
            _LOG.error("object from %s failed unexpectedly (%s)", caller, type(error).__name__)
            return _PROCESSING_FAILURE
        return 0x0000

    def _count_bytes(self, event: Any) -> None:
        """Abort the association of an object that is too large."""
        key = id(event.assoc)
        self._received[key] = self._received.get(key, 0) + len(event.data)
        if self._received[key] > self._max_bytes + _MAX_TAGS:
            self._received[key] = 0
            _LOG.warning("object of more than %d bytes: association aborted", self._max_bytes)
            threading.Thread(target=event.assoc.abort, daemon=True).start()

    def _discard_unfinished(self, event: Any) -> None:
        """Delete the incomplete object of an association that ended."""
        self._received.pop(id(event.assoc), None)
        file = getattr(getattr(event.assoc.dimse, "message", None), "_data_set_file", None)
        if file is not None:  # pynetdicom leaves it open; one that is missed here is deleted by the clean-up
            file.close()
            self._receiver.spool.remove(Path(file.name))

    def _log_rejection(self, event: Any) -> None:
        _LOG.warning("association rejected: unknown caller, wrong called AE title, or too many associations")


@contextlib.contextmanager
def _temporary_files_in(spool: Spool) -> Iterator[None]:
    """Let pynetdicom write its temporary files into the spool, so that no copy is needed."""
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
