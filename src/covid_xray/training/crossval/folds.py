"""Plan the folds of a cross-validation: training images, held-out images, and images that leak.

Everything is decided here, before the first training; nothing of a held-out image reaches the side that is trained on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import JOINING, groups
from covid_xray.data.split.split import leave_one_source_out, make_folds, make_split
from covid_xray.errors import BadSplit
from covid_xray.files import replacing


@dataclass(frozen=True)
class Protocol:
    """How the images are divided into folds.

    Args:
        folds: their number, unless a source is left out.
        group: `patient`: no patient and no radiograph in two folds; `image`: patients and copies are ignored.
        leave_out: `source`: each source is held out once, instead of folds; `None` for folds.
        seed, val_fraction: of the folds, and of the validation part that is cut from each training side.
    """

    folds: int = 5
    group: str = "patient"
    leave_out: str | None = None
    seed: int = 0
    val_fraction: float = 0.15


@dataclass(frozen=True, eq=False)
class Fold:
    """One training of a cross-validation.

    Args:
        name: `1`, `2` ... or the source that is held out.
        side: images to train on, with no others in the table.
        split: image -> train or val, for every image of `side`.
        held: images to score.
        set_aside: images in neither, since they share a patient or radiograph with the source that is held out.
        leaking: held-out images whose patient or radiograph is on the training side too.
        problem: why it cannot be trained; `side` and `split` are empty then.
    """

    name: str
    side: Manifest
    split: pd.Series
    held: Manifest
    set_aside: int
    leaking: int
    problem: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that its network can predict."""
        return self.side.classes


def plan_folds(manifest: Manifest, protocol: Protocol) -> list[Fold]:
    """Plan the folds of `protocol`, the same for the same images and seed.

    With a source left out, classes may be missing on either side: images of a class that the training side lacks stay
    in `held`, and a fold that cannot be trained (one class, or a class of one patient) has the reason in `problem`.

    Raises:
        BadSplit: too few patients of a class, fewer than two sources, or not one fold that can be trained.
    """
    whole = _without(manifest, "split")  # parts that a data set brings are not those of a cross-validation
    divided = whole if protocol.group == "patient" else _without(whole, *JOINING)
    members = groups(whole)
    found = []
    for name, out, kept in _sides(divided, protocol):
        held = whole.take(whole.table["image"].isin(out))
        leaking = int(members.loc[held.table["image"]].isin(set(members.loc[list(kept)])).sum())
        side = divided.take(divided.table["image"].isin(kept))
        aside = len(whole.table) - len(out) - len(kept)
        found.append(_trainable(Fold(name, side, pd.Series(dtype=str), held, aside, leaking), protocol))
    if all(fold.problem for fold in found):
        raise BadSplit(f"No source can be left out: {found[0].problem}")
    return found


def write_folds(path: Path, folds: list[Fold], manifest: Manifest) -> None:
    """Write image, label, patient_id, group, fold as CSV, atomically; `fold` is the one that holds the image out."""
    table = manifest.table.set_index("image")
    name_of = {image: fold.name for fold in folds for image in fold.held.table["image"]}
    columns = {
        "label": table["label"],
        "patient_id": table.get("patient_id", ""),
        "group": groups(manifest).loc[table.index],
        "fold": [name_of.get(image, "") for image in table.index],
    }
    with replacing(path) as temporary:
        pd.DataFrame(columns, index=table.index).rename_axis("image").to_csv(temporary, errors="backslashreplace")


def _sides(manifest: Manifest, protocol: Protocol) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield name, held-out images and training images of each fold."""
    if protocol.leave_out:
        for source, split in leave_one_source_out(manifest):
            yield source, set(split.index[split == "test"]), set(split.index[split == "train"])
        return
    number = make_folds(manifest, folds=protocol.folds, seed=protocol.seed)
    for k in range(protocol.folds):
        yield str(k + 1), set(number.index[number == k]), set(number.index[number != k])


def _trainable(fold: Fold, protocol: Protocol) -> Fold:
    """Add the validation part to a fold, or the reason why it cannot have one."""
    try:
        if len(fold.classes) < 2:
            raise BadSplit(
                f"Without {fold.name} there are not two classes to train on, only {', '.join(fold.classes) or 'none'}."
            )
        split = make_split(fold.side, val_fraction=protocol.val_fraction, test_fraction=0.0, seed=protocol.seed)
    except BadSplit as error:
        if protocol.leave_out is None:
            raise
        nothing = fold.side.take(np.zeros(len(fold.side.table), dtype=bool))
        return replace(fold, side=nothing, problem=error.message)
    return replace(fold, split=split)


def _without(manifest: Manifest, *columns: str) -> Manifest:
    return replace(manifest, table=manifest.table.drop(columns=[name for name in columns if name in manifest.table]))
