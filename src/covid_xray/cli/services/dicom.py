"""Define the command `dicom`: make result objects for DICOM radiographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import BundleFolder, SiteFolder, folder_option
from covid_xray.cli.terminal import bar, err, finish, list_items, out

if TYPE_CHECKING:
    from covid_xray.inference.finding import Failure
    from covid_xray.inference.io.inputs import Item
    from covid_xray.pacs.copies.deidentify import Deidentifier
    from covid_xray.pacs.results.result_objects import ResultBuilder, ResultObjects

_Part = tuple[dict[str, str], bytes]  # a row, and the report of its image
COLUMNS = ("image", "label", "reasons", "sc", "sr", "seg", "gsps", "pdf", "copy", "burnt_in", "code", "message")


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(dicom)


def dicom(
    paths: Annotated[list[str], typer.Argument(help="DICOM files, folders, globs or zip archives.")],
    output: Annotated[Path, folder_option("Folder for the objects and results.csv.")],
    bundle: BundleFolder = None,
    site: SiteFolder = None,
    results: Annotated[
        str,
        typer.Option(
            "--results",
            help="List of sc (Secondary Capture), sr (report), seg (region), gsps (outline) and pdf (page to print).",
        ),
    ] = "sc,sr,seg",
    share: Annotated[
        float, typer.Option("--share", help="The region is where the heat map is above this share of its maximum.")
    ] = 0.5,
    deidentify: Annotated[
        Path | None,
        typer.Option(
            "--deidentify", help="Key file, made if missing: also write de-identified copies to OUTPUT/deidentified."
        ),
    ] = None,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Decode in child processes with time and memory limits.")
    ] = False,
) -> None:
    """Make DICOM results for frontal chest radiographs (CR, DX); the originals stay as they are."""
    from covid_xray.inference.finding import site_in_words
    from covid_xray.inference.predictor import Predictor
    from covid_xray.pacs.copies.deidentify import Deidentifier, read_key
    from covid_xray.pacs.results.result_objects import ResultBuilder, require_packages

    require_packages()
    items, passed_over = list_items(paths)
    kinds = [kind for kind in results.replace(" ", "").split(",") if kind]
    deidentifier = Deidentifier(read_key(deidentify)) if deidentify else None
    builder = ResultBuilder(Predictor(bundle, untrusted=untrusted, site=site), kinds=kinds, share=share)
    rows, failures = [], []
    reports: dict[str, list[_Part]] = {}
    with bar("dicom") as progress:
        for done, (row, failure) in enumerate(_process(items, builder, deidentifier, output, reports), start=1):
            rows.append(row)
            failures += [failure] if failure else []
            progress(done, len(items))
    for parts in reports.values():
        _join_reports(parts, output)
    _write_rows(output / "results.csv", rows)
    answered = f"{len(items) - len(failures)} of {len(items)} files in {output}"
    _report(rows, answered, site_in_words(builder.predictor.site))
    finish(failures, len(items), passed_over=passed_over)


def _report(rows: list[dict[str, str]], answered: str, site: str) -> None:
    made = sum(bool(row[name]) for row in rows for name in ("sc", "sr", "seg", "gsps", "pdf"))
    unclean = sum(row["burnt_in"] in ("yes", "not said") for row in rows)
    out.line(f"{made} objects for {answered}; research use, not for diagnosis; {site}")
    if unclean:
        err.line(f"{unclean} copies may have text in their pixels: check them before you share them")


def _join_reports(parts: "list[_Part]", output: Path) -> None:
    """Replace the reports of the images of one study by one report."""
    from covid_xray.files import replacing
    from covid_xray.pacs.results.result_objects import to_bytes
    from covid_xray.pacs.results.study_report import join_reports

    joined = join_reports([data for _, data in parts])
    name = parts[0][0]["sr"]
    with replacing(output / name) as temporary:
        temporary.write_bytes(to_bytes(joined))
    for row, _ in parts[1:]:
        if row["sr"] != name:
            (output / row["sr"]).unlink(missing_ok=True)
        row["sr"] = name


def _process(
    items: "list[Item]",
    builder: "ResultBuilder",
    deidentifier: "Deidentifier | None",
    output: Path,
    reports: "dict[str, list[_Part]]",
) -> Iterator[tuple[dict[str, str], "Failure | None"]]:
    from covid_xray.errors import InputRefused
    from covid_xray.inference.finding import Failure
    from covid_xray.pacs.results.result_objects import write_results

    for item in items:
        row = dict.fromkeys(COLUMNS, "") | {"image": item.name}
        try:
            source = item.read(builder.predictor.limits)
            made = builder.build(source)
            row |= _describe(made, write_results(made, output))
            if "sr" in made.objects:
                reports.setdefault(made.original.tags.study_uid, []).append((row, made.objects["sr"]))
            if made.refusal:
                raise made.refusal
            row |= _write_copy(deidentifier, source, output / "deidentified") if deidentifier else {}
        except InputRefused as error:
            row |= {"code": error.code, "message": error.message}
            yield row, Failure(item.name, error.code, error.message)
            continue
        yield row, None


def _describe(made: "ResultObjects", paths: dict[str, Path]) -> dict[str, str]:
    files = {kind: path.name for kind, path in paths.items()}
    if made.refusal:
        return files
    return {"label": made.finding.label, "reasons": "; ".join(made.finding.reasons), **files}


def _write_copy(deidentifier: "Deidentifier", source: Path | bytes, folder: Path) -> dict[str, str]:
    """Write a de-identified copy to a folder for each patient; return its path and whether its pixels may hold text."""
    from covid_xray.files import replacing

    copy = deidentifier.copy(source if isinstance(source, bytes) else source.read_bytes())
    path = folder / copy.patient / copy.name
    with replacing(path) as temporary:
        temporary.write_bytes(copy.data)
    return {"copy": f"{copy.patient}/{copy.name}", "burnt_in": copy.burnt_in}


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    from covid_xray.files import replacing
    from covid_xray.inference.io.results import csv_line, encoded

    lines = [csv_line(COLUMNS), *(csv_line([row[name] for name in COLUMNS]) for row in rows)]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded("".join(lines)))
