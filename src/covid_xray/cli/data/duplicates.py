"""Define the command `duplicates`: find images of one radiograph; write a table of groups and a sheet of pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import Data, Images, err, messages, stages
from covid_xray.cli.selection import Where, reads_table, table_words
from covid_xray.cli.terminal import Terminal
from covid_xray.errors import PartlyDone, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from covid_xray.data.duplicates.duplicates import Pair
    from covid_xray.data.manifest.manifest import Manifest
    from covid_xray.data.manifest.readers import Refusal


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(reads_table(duplicates))


def duplicates(
    data: Data,
    output: Annotated[
        Path, typer.Option("-o", "--output", dir_okay=False, help="The table to write: group,image,kind,distance.")
    ],
    images: Images = None,
    where: Where = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="PNG with the pairs side by side, to look at.")] = None,
    max_pairs: Annotated[
        int, typer.Option("--max-pairs", min=1, help="Pairs on the sheet, those that differ most first.")
    ] = 60,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Threads.")] = 2,
) -> None:
    """Find images that show one radiograph, however it was cropped, relit, resized, mirrored or written on."""
    from covid_xray.data.duplicates.duplicates import find_pairs, group_pairs, write_duplicates
    from covid_xray.data.duplicates.pair_sheet import contact_sheet

    if sheet and sheet.suffix.lower() != ".png":
        raise UsageError(f"The sheet is a PNG picture, so {sheet.name} needs the ending .png.")
    manifest = _listed(data, images=images, where=where)
    refused: list[Refusal] = []
    paths = {image: manifest.path(image) for image in manifest.table["image"]}
    with stages() as update:
        pairs = find_pairs(
            paths,
            workers=workers,
            progress=lambda step, done, total: update(step, done, total, ""),
            on_refused=refused.append,
        )
    write_duplicates(group_pairs(pairs), output)
    out = messages(output)
    _print_counts(out, pairs, images=len(paths) - len(refused), manifest=manifest)
    out.line(f"wrote {output}")
    if sheet and pairs:
        contact_sheet(pairs, paths, sheet, max_pairs=max_pairs)
    if sheet:
        out.line(f"wrote {sheet}" if pairs else "no pairs, so no sheet")
    _report(refused, len(manifest.quarantine), output)


def _listed(data: Path, *, images: Path | None, where: list[str] | None) -> "Manifest":
    from covid_xray.data.manifest.manifest import Manifest, quarantine_table, read_manifest, select

    flat = _flat_folder(data)
    if flat:
        # Radiographs can be compared without knowing their classes.
        manifest = Manifest(_unlabelled(flat), data, quarantine_table([]))
    else:
        words = table_words()
        manifest = read_manifest(data, images=images, columns=words.columns, rename=words.rename, check=False)
    return select(manifest, where=where) if where else manifest


def _flat_folder(data: Path) -> list[str]:
    """List the images in `data` if it is a folder without tables and without folders inside."""
    from covid_xray.images.decode import is_candidate

    if not data.is_dir():
        return []
    inside = sorted(data.iterdir())
    if any(path.is_dir() or path.suffix.lower() == ".csv" for path in inside):
        return []
    return [path.name for path in inside if is_candidate(path)]


def _unlabelled(images: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"image": images, "label": ""}, dtype=str)


def _print_counts(out: Terminal, pairs: "Sequence[Pair]", *, images: int, manifest: "Manifest") -> None:
    """Print the numbers of images, radiographs and pairs by kind, and of pairs of two labels, which do most harm."""
    from rich.table import Table

    from covid_xray.data.duplicates.duplicates import KINDS, group_pairs

    groups = group_pairs(pairs)
    label = manifest.table.set_index("image")["label"]
    shown = Table("kind", "pairs", "of two labels", title=f"{len(pairs):,} pairs show one radiograph")
    for kind in KINDS:
        mine = [pair for pair in pairs if pair.kind == kind]
        across = sum(label[pair.first] != label[pair.second] for pair in mine)
        shown.add_row(kind, f"{len(mine):,}", f"{across:,}")
    out.print(shown)
    distinct = images - len(groups) + groups["group"].nunique()
    out.line(f"{images:,} images are {distinct:,} radiographs")


def _report(refused: "Sequence[Refusal]", missing: int, output: Path) -> None:
    for refusal in refused:
        err.line(f"{refusal.image}: {refusal.code}: {refusal.reason}")
    if refused or missing:
        raise PartlyDone(
            f"{len(refused)} images were refused and {missing} of the list are not usable; {output} holds the others."
        )
