"""Define the commands about data sets: index, split, doctor and baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from covid_xray.cli.console import Data, Images, bar, err, folder_option, messages, out
from covid_xray.cli.selection import Duplicates, Labels, Where, read, reads_table, table_words, warn_of_lost
from covid_xray.cli.terminal import Terminal
from covid_xray.errors import UsageError
from covid_xray.files import is_stream, require_file_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from covid_xray.data.manifest.manifest import Manifest

Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same images: same result.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(reads_table(index))
    app.command()(reads_table(split))
    app.command()(reads_table(doctor))
    app.command()(reads_table(baselines))


def index(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", dir_okay=False, help="The manifest to write (CSV).")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Folder of class folders, or a CSV; repeat to combine several.")
    ] = None,
    images: Images = None,
    source: Annotated[str | None, typer.Option("--source", help="A public data set by name, with --from.")] = None,
    folder: Annotated[Path | None, typer.Option("--from", help="Folder where that data set was unpacked.")] = None,
    license_allow: Annotated[
        Literal["open", "noncommercial", "any"],
        typer.Option("--license-allow", help="Licences to keep: open, noncommercial or any."),
    ] = "any",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how --data would be read, with counts; open no image, write nothing.")
    ] = False,
) -> None:
    """List, decode and hash every image; write a manifest, and quarantine.csv with what was refused and why."""
    from covid_xray.data.manifest.public_datasets import import_source

    if bool(data) == bool(source) or (source is None) != (folder is None):
        raise UsageError("No single data set is named. Give --data, or --source together with --from.")
    if images and len(data or []) != 1:
        raise UsageError("--images belongs to one table. Give exactly one --data with it.")
    if dry_run == bool(output) or (dry_run and source):
        raise UsageError("Give the manifest to write with -o FILE, or --dry-run with --data to write nothing.")
    with bar("Decode") as progress:
        if source and folder:
            manifest = import_source(source, folder, license_allow=license_allow, progress=progress)
        else:
            manifest = _read_all(data or [], images, license_allow, check=not dry_run, progress=progress)
    warn_of_lost(manifest)
    if output:
        _write_index(manifest, output)
    else:
        _print_layouts(data or [], manifest)


def _read_all(
    data: list[Path], images: Path | None, licenses: str, *, check: bool, progress: "Callable[[int, int], None]"
) -> "Manifest":
    from covid_xray.data.manifest.combine import combine
    from covid_xray.data.manifest.licenses import allow_licenses
    from covid_xray.data.manifest.manifest import read_manifest

    words = table_words()
    parts = [
        read_manifest(
            part, images=images, columns=words.columns, rename=words.rename, check=check, progress=progress
        )
        for part in data
    ]  # fmt: skip
    return allow_licenses(combine(parts), licenses)


def _write_index(manifest: "Manifest", output: Path) -> None:
    from covid_xray.data.manifest.manifest import write_manifest, write_quarantine

    refused, say = quarantine_file(output), messages(output)
    if refused:
        write_quarantine(manifest, refused)
    write_manifest(manifest, output)
    print_summary(manifest, say)
    say.line(f"wrote {output}" + (f" and {refused}" if refused else ""))


def _print_layouts(data: list[Path], manifest: "Manifest") -> None:
    from covid_xray.data.manifest.readers import describe_layout

    for part in data:
        out.line(describe_layout(part))
    print_summary(manifest, out)
    out.line("a dry run: no image was opened, nothing was written")


def quarantine_file(output: Path) -> Path | None:
    """Return the quarantine file of the manifest `output`, never one of another manifest; None beside a stream.

    It is quarantine.csv where that is free or was written with `output`, else STEM.quarantine.csv.
    """
    if is_stream(output):
        return None
    shared, own = output.with_name("quarantine.csv"), output.with_name(f"{output.stem}.quarantine.csv")
    # `index` writes the quarantine first, so one that is newer than the manifest belongs to another manifest
    ours = not shared.exists() or (output.exists() and shared.stat().st_mtime_ns <= output.stat().st_mtime_ns)
    return shared if ours and not own.exists() else own


def split(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="The split to write (CSV).")],
    images: Images = None,
    duplicates: Duplicates = None,
    labels: Labels = None,
    where: Where = None,
    folds: Annotated[int | None, typer.Option("--folds", min=2, help="Number of folds instead of parts.")] = None,
    leave_one_source_out: Annotated[
        bool, typer.Option("--leave-one-source-out", help="One split for each source; -o is then a folder.")
    ] = False,
    val: Annotated[float, typer.Option("--val", help="Share of all images for validation.")] = 0.15,
    test: Annotated[float, typer.Option("--test", help="Share of all images for the test.")] = 0.15,
    calibration: Annotated[float, typer.Option("--calibration", help="Share of all images for calibration.")] = 0.0,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Keep given parts that share patients or radiographs.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Divide the images by patient and duplicate group, each class in its share; refuse any overlap."""
    from covid_xray.data.split import split as splits

    if folds and leave_one_source_out:
        raise UsageError("--folds and --leave-one-source-out exclude each other. Give one of them.")
    if not leave_one_source_out:
        require_file_target(output)
    manifest = read(data, images=images, labels=labels, where=where, duplicates=duplicates)
    if leave_one_source_out:
        for name, parts in splits.leave_one_source_out(manifest):
            path = output / f"split-{name}.csv"
            splits.write_split(path, parts, manifest.take(list(parts.index)))
            _print_parts(manifest, parts, path, out)
        return
    if folds:
        made = splits.make_folds(manifest, folds=folds, seed=seed)
    else:
        made = splits.make_split(
            manifest, val_fraction=val, test_fraction=test, calibration_fraction=calibration, seed=seed,
            allow_overlap=allow_overlap,
        )  # fmt: skip
    splits.write_split(output, made, manifest)
    for sentence in made.attrs.get("overlaps", []):
        err.print(f"[bold red]The given parts overlap, and a score on them is too high: {sentence}", highlight=False)
    _print_parts(manifest, made, output, messages(output))


def doctor(
    data: Data,
    output: Annotated[Path, folder_option("Folder for doctor.json and doctor.html.")],
    images: Images = None,
    duplicates: Duplicates = None,
    labels: Labels = None,
    where: Where = None,
    title: Annotated[str | None, typer.Option("--title", help="Name of the data set on the page.")] = None,
) -> None:
    """Check a data set for known pitfalls; each gets PASS, WARN or FAIL and advice."""
    from rich.markup import escape
    from rich.table import Table

    from covid_xray.data.doctor.doctor import examine, write_diagnosis
    from covid_xray.data.doctor.doctor_page import shown

    manifest = read(data, images=images, labels=labels, where=where, duplicates=duplicates)
    with bar("Measure pixels") as progress:
        diagnosis = examine(manifest, title=title or data.stem, progress=progress)
    table = Table("", "check", "number", "what was found, and what to do", title=escape(diagnosis.title))
    colours = {"FAIL": "bold red", "WARN": "yellow", "PASS": "green"}
    for pitfall in diagnosis.pitfalls:
        verdict = pitfall.verdict.value
        number = f"{shown(pitfall.as_json()['number'])}\n[dim]{pitfall.measure}[/dim]"
        advice = "" if verdict == "PASS" else f" [italic]{escape(pitfall.advice)}[/italic]"
        table.add_row(f"[{colours[verdict]}]{verdict}", pitfall.name, number, escape(pitfall.says) + advice)
    out.print(table)
    for path in write_diagnosis(diagnosis, output):
        out.line(f"wrote {path}")


def baselines(
    data: Data,
    output: Annotated[Path, folder_option("Folder for baselines.json.")],
    images: Images = None,
    duplicates: Duplicates = None,
    labels: Labels = None,
    where: Where = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Folder of lung masks named like the images; used if all have one.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Number of folds, grouped by patient and copy.")] = 5,
    seed: Seed = 0,
) -> None:
    """Score plain models that see no lungs: a network must beat them before its score can mean anything."""
    from rich.table import Table

    from covid_xray.data.baselines.baselines import run_baselines, write_baselines
    from covid_xray.data.baselines.lung_cover import cover_lungs
    from covid_xray.data.doctor.pixel_facts import measure

    manifest = read(data, images=images, labels=labels, where=where, duplicates=duplicates)
    with bar("Measure pixels") as progress:
        facts = measure(manifest, progress=progress)
    cover = cover_lungs(manifest, masks=masks)
    with bar("Baselines") as progress:
        found = run_baselines(manifest, facts, cover=cover, folds=folds, seed=seed, progress=progress)
    asked = [(row.name, row) for row in found.rows] + [(f"source in {name}", row) for name, row in found.within.items()]
    table = Table("baseline", "lungs", "balanced accuracy", "macro-F1", "accuracy", "chance", title="without the lungs")
    for name, row in asked:
        cells = [
            f"{s.value:.3f} [{s.ci_low:.3f}, {s.ci_high:.3f}]".replace("[", "\\[")
            for s in (row.scores["balanced_accuracy"], row.scores["macro_f1"], row.scores["accuracy"])
        ]
        table.add_row(name, "hidden" if row.without_lungs else "seen", *cells, f"{row.chance:.3f}")
    out.print(table)
    out.line(f"lungs: {found.lungs}; best without lungs: {found.best.name}")
    for name, why in found.skipped.items():
        out.line(f"source in {name}: not asked, {why}")
    out.line(f"wrote {write_baselines(found, output)}")


def print_summary(manifest: "Manifest", out: Terminal) -> None:
    """Print files found, images per class, and the reasons of refusals as small tables."""
    from rich.table import Table

    from covid_xray.data.manifest.manifest import counts, reasons

    by = next((name for name in ("split", "source") if name in manifest.table), "")
    table = counts(manifest, by=by)
    shown = Table("label", *[str(name) for name in table.columns], title=f"{len(manifest.table):,} images")
    for label, row in zip(table.index, table.to_numpy(), strict=True):
        shown.add_row(str(label), *[f"{value:,}" for value in row])
    out.print(shown)
    if len(manifest.quarantine):
        refused = Table("refused", "images", "reason of the first", "first", title="quarantine")
        for line in reasons(manifest).itertuples(index=False):
            refused.add_row(str(line.code), f"{line.images:,}", str(line.reason), str(line.example))
        out.print(refused)
    out.line(f"found {manifest.found:,} = {len(manifest.table):,} indexed + {len(manifest.quarantine):,} quarantined")
    for note in manifest.notes:
        out.line(note)


def _print_parts(manifest: "Manifest", parts: object, path: Path, out: Terminal) -> None:
    import pandas as pd
    from rich.table import Table

    series = pd.Series(parts)
    label = manifest.table.set_index("image")["label"].loc[series.index]
    table = pd.crosstab(label, series.to_numpy())
    shown = Table("label", *[str(name) for name in table.columns], title=str(path.name))
    for name, row in zip(table.index, table.to_numpy(), strict=True):
        shown.add_row(str(name), *[f"{value:,}" for value in row])
    out.print(shown)
    out.line(f"wrote {path}")
