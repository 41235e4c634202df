"""Open the services of a node in a test: a store in a folder, a small network, no port."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.service import NodeServices, open_services
from covid_xray.pacs.settings import Pacs

KNOWN = {"callers": ["MODALITY"], "share": 0.3, "reserve_bytes": 0, "retry_seconds": 0.05, "port": 0}


@contextlib.contextmanager
def opened(folder: Path, predictor: Predictor, **settings: Any) -> Iterator[NodeServices]:
    with open_services(Pacs.model_validate({**KNOWN, "store": folder / "store", **settings}), predictor) as parts:
        yield parts


def incoming(parts: NodeServices, data: bytes, name: str = "received.dcm") -> Path:
    """Write a file into the incoming folder of the spool."""
    path = parts.spool.incoming / name
    path.unlink(missing_ok=True)  # a new file each time: the spool links it instead of copying
    path.write_bytes(data)
    return path
