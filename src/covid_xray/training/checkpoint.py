"""Save and load training states, so that one complete, verified state survives whenever the process dies.

The last two generations lie side by side as folders `epoch-NNNNN`, each with `state.npz` (every variable of model and
optimiser, random states among them), `best.npz` (the best weights so far) and `state.json` (epoch, schedule, hashes).
A damaged one is skipped for the one before, so they share no bytes. No Keras archive, no pickle: arrays and JSON.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray import partial
from covid_xray.errors import InputRefused
from covid_xray.files import replacing_folder, sha256_bytes, sha256_file, write_json
from covid_xray.training.schedule import Schedule

Arrays = Sequence[NDArray[Any]]
FILES = ("state.npz", "best.npz")
KEPT = 2


@dataclass(frozen=True, eq=False)
class Generation:
    """One saved state: all variables in order, the best weights, the schedule, and the identity of the run."""

    variables: Arrays
    best: Arrays
    schedule: Schedule
    run: str  # hash of settings and split; a checkpoint of another run is refused
    skipped: tuple[str, ...] = ()  # the reason of each newer generation that was damaged


def save(folder: Path, generation: Generation) -> None:
    """Add a generation to `folder` and remove those before the last two.

    Raises:
        OSError: it could not be written; earlier generations are unchanged.
    """
    target = folder / f"epoch-{generation.schedule.epoch:05}"
    with replacing_folder(target) as temporary:
        _write(temporary / "state.npz", generation.variables)
        _write(temporary / "best.npz", generation.best)
        hashes = {name: sha256_file(temporary / name) for name in FILES}
        state = {"schedule": dataclasses.asdict(generation.schedule), "run": generation.run, "sha256": hashes}
        write_json(temporary / "state.json", {**state, "checksum": _checksum(state)})
    _prune(folder, newest=target)


def load(folder: Path) -> Generation:
    """Load the newest generation in `folder` that is unchanged since it was written.

    Raises:
        InputRefused: there is none (`no-checkpoint`), or every one was altered (`altered`).
    """
    refused: list[str] = []
    for path in reversed(_generations(folder)):
        try:
            return dataclasses.replace(_load(path), skipped=tuple(refused))
        except InputRefused as error:
            refused.append(error.message)
    if refused:
        raise InputRefused("\n".join(refused), code="altered")
    raise InputRefused(f"No checkpoint in {folder}. Start the training without --resume.", code="no-checkpoint")


def exists(folder: Path) -> bool:
    """Say whether `folder` holds a checkpoint (not whether it is intact)."""
    return bool(_generations(folder))


def clear_leftovers(folder: Path) -> None:
    """Remove incomplete files of a killed process; the caller holds the lock of the run folder."""
    partial.clear(folder)
    for former in folder.glob(".former-epoch-*"):
        partial.recover(folder / former.name.removeprefix(".former-"))


def _generations(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("epoch-*") if path.is_dir())


def _prune(folder: Path, *, newest: Path) -> None:
    """Keep `newest` and the one before it; later ones are those that `load` skipped."""
    generations = _generations(folder)
    upto = [path for path in generations if path <= newest]
    for path in set(generations) - set(upto[-KEPT:]):
        shutil.rmtree(path, ignore_errors=True)


def _load(path: Path) -> Generation:
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        schedule, run, expected = Schedule(**state["schedule"]), str(state["run"]), state["sha256"]
        found = {name: sha256_file(path / name) for name in FILES}
        intact = state.pop("checksum") == _checksum(state)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputRefused(f"The checkpoint {path} cannot be read.", code="altered") from None
    for name in ("state.json", *FILES):
        if not intact or (name in FILES and found[name] != expected.get(name)):
            raise InputRefused(f"{path / name} was altered after it was written.", code="altered")
    return Generation(variables=_read(path / "state.npz"), best=_read(path / "best.npz"), schedule=schedule, run=run)


def _checksum(state: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(state, sort_keys=True).encode())


def _write(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as stream:
        np.savez(stream, *arrays)


def _read(path: Path) -> list[NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return [archive[f"arr_{index}"] for index in range(len(archive.files))]
