"""Recognise by content the images that a bundle was made from, and keep them out of the figures of a test."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from covid_xray.bundle.trained import Block, Content, Trained, list_images, read_trained
from covid_xray.config import Limits
from covid_xray.data.manifest.file_checks import CONTENT, check_files
from covid_xray.data.manifest.manifest import Manifest, fingerprint
from covid_xray.errors import InputRefused

COLUMN = "trained_as"  # the part of an image that was kept in the figures
BY_NAME = "name"  # recognised by split.csv alone: the bundle lists no images


@dataclass(frozen=True)
class TrainedImages:
    """What was recognised of N images.

    Args:
        listed: images of each part that the bundle lists; `None` where it has no list, so that nothing can be known.
        part: for each image the part that it was in, "" for one that the network does not know.
        how: for each image `file`, `pixels`, `near` or `name`, "" likewise.
    """

    listed: Mapping[str, int] | None
    part: tuple[str, ...]
    how: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of recognised images of each part."""
        return _counted(self.part)


def find_trained(bundle: str | Path | None, manifest: Manifest, *, split: "pd.Series | None" = None) -> TrainedImages:
    """Look every image of a manifest up in the list of the bundle, whatever it is called and wherever it lies.

    A copy that was resized, saved again or converted is found; one that was cropped, turned or mirrored mostly not.

    Args:
        bundle: its folder; `None` for the one that ships.
        manifest: files that were not checked yet are decoded.
        split: of the run, by image name, for a bundle without a list; names prove less than content.

    Raises:
        BadBundle: the bundle or its list was altered.
    """
    trained = read_trained(bundle)
    if trained is None and split is not None:
        parts = [part if part != "test" else "" for part in manifest.table["image"].map(split).fillna("")]
        return TrainedImages(None, tuple(parts), tuple(BY_NAME if part else "" for part in parts))
    return look_up(trained, contents(manifest) if trained else [Content("", "", "")] * len(manifest.table))


def merge_trained(found: Sequence[TrainedImages]) -> TrainedImages:
    """Join what several networks know of the same images: an image that one of them knows is known."""
    if len(found) == 1:
        return found[0]
    listed = [one.listed for one in found]
    rows = [
        next((pair for pair in pairs if pair[0]), ("", ""))
        for pairs in zip(*(zip(one.part, one.how, strict=True) for one in found), strict=True)
    ]
    counts = sum((Counter(one) for one in listed if one is not None), Counter[str]())
    return TrainedImages(
        None if None in listed else dict(counts), tuple(part for part, _ in rows), tuple(how for _, how in rows)
    )


def look_up(trained: Trained | None, images: list[Content]) -> TrainedImages:
    """Look images up in a list; with `None` nothing is recognised."""
    found: list[tuple[str, str] | None] = trained.find(images) if trained else [None] * len(images)
    listed = trained.blocks[0].images if trained else None
    return TrainedImages(
        listed, tuple(one[0] if one else "" for one in found), tuple(one[1] if one else "" for one in found)
    )


def contents(manifest: Manifest) -> list[Content]:
    """Return what identifies each image; files are decoded where the table does not hold it."""
    table = manifest.table
    if not set(CONTENT) <= set(table.columns) or (table["sha256"] == "").any():
        checked, _ = check_files(table.drop(columns=[*CONTENT], errors="ignore"), manifest.root, limits=Limits())
        table = table[["image"]].merge(checked[["image", *CONTENT]], on="image", how="left").fillna("")
    return contents_of(table)


def contents_of(table: pd.DataFrame) -> list[Content]:
    """Return what identifies each row of a table; columns that are missing count as unknown."""
    columns = [table[name] if name in table else [""] * len(table) for name in CONTENT]
    return [Content(*row) for row in zip(*columns, strict=True)]


def list_split(manifest: Manifest, split: pd.Series) -> Block:
    """List the images of a split (index: image, values: parts) for the bundle that is trained on them."""
    part = split.reindex(manifest.table["image"]).fillna("")
    images: dict[str, list[Content]] = {}
    for name, content in zip(part, contents(manifest), strict=True):
        images.setdefault(str(name), []).append(content)
    return list_images(images, salt=bytes.fromhex(fingerprint(manifest))[:16])


def leave_out_trained(
    manifest: Manifest, found: TrainedImages, *, keep: Collection[str] = ()
) -> tuple[Manifest, dict[str, Any]]:
    """Leave the recognised images out of a test.

    Args:
        manifest: N images, those of `found`.
        found: of `find_trained`.
        keep: parts that stay in; the column `trained_as` marks their images.

    Returns:
        The manifest without them, and the facts for metrics.json (`schema.TrainedImages`).

    Raises:
        InputRefused: nothing is left (code `all-trained`).
    """
    stay = [part == "" or part in keep for part in found.part]
    if not any(stay):
        raise InputRefused(
            f"All {len(stay):,} images were used to make this network ({_named(found.counts)}), so figures on them are "
            "no test. Give images that it does not know, or add --with-trained to score these.",
            code="all-trained",
        )
    kept = _counted(part for part in found.part if part in keep)
    facts = {
        "listed": None if found.listed is None else dict(found.listed),
        "recognised": found.counts,
        "by": _counted(found.how),
        "kept": kept,
    }
    marked = manifest.table.assign(**{COLUMN: list(found.part)}) if kept else manifest.table
    return replace(manifest, table=marked).take(stay), facts


def kept_sentence(facts: Mapping[str, Any]) -> str:
    """State in a sentence, for a red banner, that a network was scored on images that it knows; "" where it was not."""
    kept = facts["kept"]
    if not kept:
        return ""
    return (
        f"{_images(sum(kept.values()))} of those scored made this network ({_named(kept)}), so these figures are no "
        "test: they say how well it remembers."
    )


def left_out_sentence(facts: Mapping[str, Any]) -> str:
    """State in a sentence how many images were recognised and left out, or that nothing can be known; else ""."""
    left = {part: count for part, count in facts["recognised"].items() if part not in facts["kept"]}
    if left:
        ways = ", ".join(f"{count:,} by {WAYS[how]}" for how, count in facts["by"].items())
        return (
            f"{_images(sum(left.values()))} left out, since they made this network ({_named(left)}); of all that were "
            f"recognised {ways}. --with-trained keeps them."
        )
    if facts["listed"] is None and not facts["recognised"]:
        return (
            "The bundle does not list the images it was trained on, so whether some of these are among them is unknown."
        )
    return ""


WAYS = {"file": "the file", "pixels": "the pixels", "near": "the picture, resized or saved again", BY_NAME: "the name"}


def _counted(values: Any) -> dict[str, int]:
    counts = Counter(value for value in values if value)
    return {name: counts[name] for name in sorted(counts)}


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {part}" for part, count in counts.items())
