"""State what a data set lost to the quarantine: a class without any usable image, or more than a tenth of the files."""

from collections.abc import Mapping

import pandas as pd

from covid_xray.errors import BadManifest


def refuse_vanished(labels: Mapping[str, str], table: pd.DataFrame, quarantine: pd.DataFrame) -> None:
    """Raise `BadManifest` (code `class-vanished`) when no image of a label is in `table`.

    Args:
        labels: image to label, of all images found.
        table: rows with `label` that are usable.
        quarantine: refused images with `image` and `reason`.
    """
    for label in sorted(set(labels.values()) - set(table["label"])):
        lost = quarantine[quarantine["image"].map(labels) == label]
        first = f" The first is {lost['image'].iloc[0]}: {lost['reason'].iloc[0]}" if len(lost) else ""
        raise BadManifest(
            f"{label}: {list(labels.values()).count(label)} found, 0 usable.{first} Correct the files, or choose other "
            "labels with --label.",
            code="class-vanished",
        )


def describe_losses(table: pd.DataFrame, quarantine: pd.DataFrame) -> str:
    """Return a sentence when more than a tenth of the files found is quarantined (masks aside), else ""."""
    lost = quarantine[quarantine["code"] != "mask"]
    found = len(table) + len(lost)
    if len(lost) * 10 <= found:
        return ""
    kinds = ", ".join(f"{count:,} {code}" for code, count in lost["code"].value_counts().items())
    return f"warning: {len(lost):,} of {found:,} files ({len(lost) / found:.0%}) are quarantined: {kinds}"
