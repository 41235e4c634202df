"""Inputs at which who answers them dies, and the environment of processes that die of them."""

import os
from pathlib import Path

import numpy as np

from support.archives import archive
from support.drawing import png

# Put into every Python process through sitecustomize: the mark POISON kills who hashes the file, a picture of plain
# grey 77 kills the network's process when its batch is stacked.
HOOK = """
import hashlib, os
whole = hashlib.sha256
def dies(data=b'', **k):
    if b'POISON' in bytes(data): os.abort()
    return whole(data, **k)
hashlib.sha256 = dies
import numpy as np
stack = np.stack
def deadly(arrays, *a, **k):
    arrays = list(arrays)
    if any(np.ndim(x) == 2 and (np.asarray(x) == 77).all() for x in arrays): os.abort()
    return stack(arrays, *a, **k)
np.stack = deadly
"""


def poisoned(root: Path, count: int = 40) -> dict[str, str]:
    """An archive in root/films whose inputs 000005 and 000021 are deadly; the environment in which they are."""
    folder = archive(root / "films", count) / "000"
    (folder / "000005.png").write_bytes(b"POISON")
    (folder / "000021.png").write_bytes(png(np.full((40, 30), 77, np.uint8)))
    (root / "hook").mkdir()
    (root / "hook" / "sitecustomize.py").write_text(HOOK)
    return {"PYTHONPATH": os.pathsep.join([str(root / "hook"), os.environ.get("PYTHONPATH", "")])}
