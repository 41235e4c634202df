"""A DICOM association in, stored and committed objects out: the C-STORE and C-ECHO provider.

Success is said after the object is on disk and its row is committed; any other status means that nothing was stored.
"""

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
from covid_xray.pacs.phi_safe_logging import silence
from covid_xray.pacs.receiver import Announced, Intake
from covid_xray.pacs.settings import Pacs
from covid_xray.pacs.spool import Spool
from covid_xray.store.image_files import room_on_disk

_PDU = 256 << 10  # bytes of a piece of an object
_SLACK = 1 << 20  # bytes of tags beside the pixels
_UNFORESEEN = 0x0110  # processing failure
_VERIFICATION = "1.2.840.10008.1.1"
_LOG = logging.getLogger("covid_xray.pacs")


class Node:
    """The listening side.

    Args:
        settings: where, for whom.
        intake, spool: what takes the objects, and where they are written as they come.
        limits: what an image may cost.
    """

    def __init__(self, settings: Pacs, intake: Intake, spool: Spool, *, limits: Limits) -> None:
        self._settings, self._intake, self._spool, self._limits = settings, intake, spool, limits
        self._received: dict[int, int] = {}  # bytes of the object under way, by association

    @contextlib.contextmanager
    def listening(self) -> Iterator[int]:
        """Listen while the block runs; yields the port. Raises `UsageError` when the address is taken."""
        from pynetdicom import _config, evt

        silence()
        _config.STORE_RECV_CHUNKED_DATASET = True  # to disk as it comes, never whole in memory
        _config.LOG_HANDLER_LEVEL = "none"
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, lambda _: 0),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_CONN_CLOSE, self._forget),
            (evt.EVT_REJECTED, self._rejected),
        ]
        with _temporary_files(self._spool):
            try:
                address = (self._settings.host, self._settings.port)
                server = self._entity().start_server(address, block=False, evt_handlers=handlers)
            except OSError:
                raise UsageError(
                    f"expected an address that is free and of this machine. Received: {self._settings.host} "
                    f"port {self._settings.port}"
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
        entity.maximum_pdu_size = _PDU
        entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = self._settings.idle_seconds
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, sorted(TRANSFER_SYNTAXES))
        entity.add_supported_context(_VERIFICATION)
        return entity

    def _store(self, event: Any) -> int:
        """The status of one C-STORE."""
        self._received[id(event.assoc)] = 0
        try:
            announced = Announced(str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID))
            with room_on_disk():
                self._intake.take(event.dataset_path, origin=event.assoc.requestor.ae_title, announced=announced)
        except CovidXrayError as error:
            _LOG.warning("object from %s refused (%s)", event.assoc.requestor.ae_title, error.code)
            return error.dicom_status
        except Exception as error:
            _LOG.error("unforeseen %s at an object", type(error).__name__)
            return _UNFORESEEN
        return 0x0000

    def _count(self, event: Any) -> None:
        """End the association of an object that has no end."""
        key = id(event.assoc)
        self._received[key] = self._received.get(key, 0) + len(event.data)
        if self._received[key] > self._limits.upload_bytes * 2 + _SLACK:
            self._received[key] = 0
            _LOG.warning("object of more than %d bytes: association ended", self._limits.upload_bytes * 2)
            threading.Thread(target=event.assoc.abort, daemon=True).start()

    def _forget(self, event: Any) -> None:
        """The end of an association: what it had not brought whole goes from the disk."""
        self._received.pop(id(event.assoc), None)
        file = getattr(getattr(event.assoc.dimse, "message", None), "_data_set_file", None)
        if file is not None:  # pynetdicom leaves it open; where it does not, the sweep finds it
            file.close()
            self._spool.remove(Path(file.name))

    def _rejected(self, event: Any) -> None:
        _LOG.warning("association refused: caller or called title not of the settings, or too many at once")


@contextlib.contextmanager
def _temporary_files(spool: Spool) -> Iterator[None]:
    """pynetdicom writes objects to the system's temporary folder; here that is the spool's, so that no copy is made."""
    before, tempfile.tempdir = tempfile.tempdir, str(spool.incoming)
    try:
        yield
    finally:
        tempfile.tempdir = before


def require_packages() -> None:
    """Raises `MissingPackage` without pynetdicom."""
    try:
        import pynetdicom  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackage('expected pynetdicom to be installed: pip install "covid-xray[pacs]"') from None
