"""A manifest in, what a person wants to read of it out: files found, counts per class, what was refused and why."""

import pandas as pd

from covid_xray.data.manifest import Manifest


def counts(manifest: Manifest, *, by: str = "") -> pd.DataFrame:
    """Images per label (rows) and per value of the column `by` ("" for one column `images`), with a column `all`."""
    if by and by in manifest.table:
        values = manifest.table[by].replace("", "(none)")
        table = pd.crosstab(manifest.table["label"], values)
        return table.assign(all=table.sum(axis=1))
    return manifest.table.groupby("label").size().to_frame("images")


def reasons(manifest: Manifest) -> pd.DataFrame:
    """Refused images per code: columns code, images, reason (of the first one), example."""
    grouped = manifest.quarantine.groupby("code", sort=True)
    return pd.DataFrame(
        [(code, len(rows), rows["reason"].iloc[0], rows["image"].iloc[0]) for code, rows in grouped],
        columns=["code", "images", "reason", "example"],
    )


def summary(manifest: Manifest) -> str:
    """Some lines of plain text: files found, images per class (and split, source), quarantined with reasons, notes."""
    lines = [f"found {manifest.found:,} = {len(manifest.table):,} indexed + {len(manifest.quarantine):,} quarantined"]
    by = next((name for name in ("split", "source") if name in manifest.table), "")
    for name in ("split", "source") if by else ("",):
        if not name or name in manifest.table:
            lines += ["", *counts(manifest, by=name).rename_axis(None).to_string().splitlines()]
    if len(manifest.quarantine):
        lines.append("")
    for row in reasons(manifest).itertuples(index=False):
        lines.append(f"quarantined {row.images:,} {row.code}: {row.reason} ({row.example})")
    return "\n".join([*lines, *manifest.notes])
