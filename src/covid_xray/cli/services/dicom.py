"""The command `dicom`: DICOM radiographs into result objects of the same study."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli.console import BundleFolder
from covid_xray.cli.terminal import bar, err, finish, out

if TYPE_CHECKING:
    from covid_xray.inference.finding import Failure
    from covid_xray.inference.io.inputs import Item
    from covid_xray.pacs.deidentify import Deidentifier
    from covid_xray.pacs.results.result_objects import ResultBuilder, ResultObjects

COLUMNS = ("image", "label", "reasons", "sc", "sr", "seg", "gsps", "copy", "burnt_in", "code", "message")


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(dicom)


def dicom(
    paths: Annotated[list[str], typer.Argument(help="DICOM files, folders, globs or zip archives.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the objects and results.csv.")],
    bundle: BundleFolder = None,
    results: Annotated[
        str, typer.Option("--results", help="Of sc (Secondary Capture), sr (report), seg (region), gsps (outline).")
    ] = "sc,sr,seg",
    share: Annotated[float, typer.Option("--share", help="Of the heat map's maximum, above which it is region.")] = 0.5,
    deidentify: Annotated[
        Path | None,
        typer.Option(
            "--deidentify", help="Key file, made when missing: also de-identified copies in OUTPUT/deidentified."
        ),
    ] = None,
    untrusted: Annotated[
        bool, typer.Option("--untrusted", help="Decode in child processes with time and memory limits.")
    ] = False,
) -> None:
    """Make DICOM results of frontal chest radiographs (CR, DX) for a PACS; originals stay as they are."""
    from covid_xray.inference.io.inputs import expand, require_any
    from covid_xray.inference.predictor import Predictor
    from covid_xray.limits import Limits
    from covid_xray.pacs.results.result_objects import ResultBuilder, require_packages

    require_packages()
    items = list(expand(paths, limits=Limits()))
    require_any(items, paths)
    kinds = [kind for kind in results.replace(" ", "").split(",") if kind]
    hider = _hider(deidentify) if deidentify else None
    builder = ResultBuilder(Predictor(bundle, untrusted=untrusted), kinds=kinds, share=share)
    rows, failures = [], []
    with bar("dicom") as progress:
        for done, (row, failure) in enumerate(_answered(items, builder, hider, output), start=1):
            rows.append(row)
            failures += [failure] if failure else []
            progress(done, len(items))
    _write_rows(output / "results.csv", rows)
    made = sum(bool(row[name]) for row in rows for name in ("sc", "sr", "seg", "gsps"))
    unclean = sum(row["burnt_in"] in ("yes", "not said") for row in rows)
    out.print(
        f"{made} objects for {len(items) - len(failures)} of {len(items)} files in {output}; "
        "research use, not for diagnosis",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if unclean:
        err.print(f"{unclean} copies may have text in their pixels: look at them before they leave", highlight=False)
    finish(failures, len(items))


def _answered(
    items: "list[Item]", builder: "ResultBuilder", hider: "Deidentifier | None", output: Path
) -> Iterator[tuple[dict[str, str], "Failure | None"]]:
    from covid_xray.errors import InputRefused
    from covid_xray.inference.finding import Failure
    from covid_xray.pacs.results.result_objects import write_results

    for item in items:
        row = dict.fromkeys(COLUMNS, "") | {"image": item.name}
        try:
            source = item.read(builder.predictor.limits)
            made = builder.build(source)
            row |= _told(made, write_results(made, output))
            row |= _copied(hider, source, output / "deidentified") if hider else {}
        except InputRefused as error:
            yield row | {"code": error.code, "message": error.message}, Failure(item.name, error.code, error.message)
            continue
        yield row, None


def _told(made: "ResultObjects", paths: dict[str, Path]) -> dict[str, str]:
    files = {kind: path.name for kind, path in paths.items()}
    return {"label": made.finding.label, "reasons": "; ".join(made.finding.reasons), **files}


def _hider(key: Path) -> "Deidentifier":
    from covid_xray.pacs.deidentify import Deidentifier, read_key

    return Deidentifier(read_key(key))


def _copied(hider: "Deidentifier", source: Path | bytes, folder: Path) -> dict[str, str]:
    """A copy in a folder for each patient; the row says what the object says of text in its pixels."""
    from covid_xray.files import replacing

    copy = hider.copy(source if isinstance(source, bytes) else source.read_bytes())
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
