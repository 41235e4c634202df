"""The parts of a node inside a test: its store in a folder, its network the small one, no port."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.service import Works, works
from covid_xray.pacs.settings import Pacs

KNOWN = {"callers": ["MODALITY"], "share": 0.3, "reserve_bytes": 0, "retry_seconds": 0.05, "port": 0}


@contextlib.contextmanager
def opened(folder: Path, predictor: Predictor, **settings: Any) -> Iterator[Works]:
    with works(Pacs.model_validate({**KNOWN, "store": folder / "store", **settings}), predictor) as parts:
        yield parts


def given(parts: Works, data: bytes, name: str = "received.dcm") -> Path:
    """A file in the spool's folder for what comes."""
    path = parts.spool.incoming / name
    path.unlink(missing_ok=True)  # a file of its own, as each that comes is: the spool takes it without a copy
    path.write_bytes(data)
    return path
