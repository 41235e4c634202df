"""Training state on disk: always one complete, hash-verified generation, whatever moment the process dies.

A generation is a folder with `state.npz` (every variable of model and optimiser, random states among them),
`best.npz` (the best weights so far) and `state.json` (epoch, schedule, hashes). It is written beside the old one
and takes its name by rename. No Keras archive and no pickle: arrays and JSON only.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused
from covid_xray.files import replacing_folder, sha256_file, write_json
from covid_xray.training.schedule import Schedule

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Generation:
    """One saved state: all variables in order, the best weights, the schedule, and what the run was started with."""

    variables: Arrays
    best: Arrays
    schedule: Schedule
    run: str  # hash of settings and split; a checkpoint of another run is refused


def save(folder: Path, generation: Generation) -> None:
    """Replace the generation in `folder`. `best.npz` is linked, not written again, while the best epoch stays."""
    with replacing_folder(folder) as temporary:
        _write(temporary / "state.npz", generation.variables)
        previous = folder / "best.npz"
        if generation.schedule.is_best or not previous.is_file():
            _write(temporary / "best.npz", generation.best)
        else:
            _link(previous, temporary / "best.npz")
        hashes = {name: sha256_file(temporary / name) for name in ("state.npz", "best.npz")}
        state = {"schedule": dataclasses.asdict(generation.schedule), "run": generation.run, "sha256": hashes}
        write_json(temporary / "state.json", state)


def load(folder: Path) -> Generation:
    """The generation in `folder`.

    Raises:
        InputRefused: there is none, or a file of it was altered.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        expected = state["sha256"]
        received = {name: sha256_file(folder / name) for name in expected}
    except (OSError, ValueError, KeyError):
        raise InputRefused(f"expected a checkpoint in {folder}. Received: none that can be read") from None
    for name, digest in expected.items():
        if received[name] != digest:
            raise InputRefused(f"expected {folder / name} as it was written. Received: an altered file", code="altered")
    return Generation(
        variables=_read(folder / "state.npz"),
        best=_read(folder / "best.npz"),
        schedule=Schedule(**state["schedule"]),
        run=state["run"],
    )


def exists(folder: Path) -> bool:
    """Whether `folder` holds a checkpoint (not whether it is intact)."""
    return (folder / "state.json").is_file()


def _write(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as stream:
        np.savez(stream, *arrays)


def _read(path: Path) -> list[NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return [archive[f"arr_{index}"] for index in range(len(archive.files))]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
