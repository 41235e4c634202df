"""The command that checks a bundle on a hospital's own images: commission."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import BundleFolder, Images, bar, err, out
from covid_xray.cli.selection import Where, WithTrained
from covid_xray.errors import PartlyDone, UsageError

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest
    from covid_xray.evaluation.site.commission import Commissioning
    from covid_xray.inference.site.site_file import Site

NAME_LENGTH = 64


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(selection.reads_table(commission))


def commission(
    data: Annotated[Path, typer.Argument(help="Class folders, a folder of images, or a CSV with image and label.")],
    name: Annotated[str, typer.Option("--name", help="Of the hospital, as every answer will name it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for site.json, report.html and report.pdf.")],
    bundle: BundleFolder = None,
    images: Images = None,
    where: Where = None,
    healthy: Annotated[
        str | None, typer.Option("--healthy", help="Label that means healthy; default: that of the bundle.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML or TOML with settings of the rule.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the rule as key=value; repeatable.")
    ] = None,
    signed_by: Annotated[
        str | None, typer.Option("--signed-by", help="Name of the person responsible for the check.")
    ] = None,
    require_fit: Annotated[bool, typer.Option("--require-fit", help="Exit 4 unless the verdict is fit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the images that would be used.")] = False,
    with_trained: WithTrained = False,
) -> None:
    """Check the bundle on a hospital's own images: fit, fit with its own threshold, or not fit there."""
    from covid_xray.cli.evaluation.evaluate import say
    from covid_xray.config import load
    from covid_xray.evaluation.site.commission import commission as check
    from covid_xray.evaluation.site.commission import drift_reference, require_enough, require_healthy_class
    from covid_xray.evaluation.site.page import write_site_folder
    from covid_xray.evaluation.site.rule import Rule
    from covid_xray.evaluation.study import without_trained
    from covid_xray.inference.drift.reference import DRIFT_FILE
    from covid_xray.inference.predictor import Predictor

    rule = load(Rule, file=config, overrides=settings or ())
    _check_name(name)
    predictor = Predictor(bundle)
    well = require_healthy_class(predictor)
    manifest = _images(data, images, where, (healthy, well) if healthy else None)
    folder = predictor.bundle.folder
    manifest, _ = without_trained(folder, manifest, part=None, taken="all", with_trained=with_trained, say=say)
    _list(manifest, names=dry_run)
    require_enough(manifest, rule)
    if dry_run:
        return
    with bar("commission") as progress:
        found = check(predictor, manifest, name=name, rule=rule, previous=_previous(output), progress=progress)
    drift_reference(found, model_sha256=predictor.identity.sha256).write(output / DRIFT_FILE)
    site = write_site_folder(found, predictor, output, signed_by=signed_by)
    _print(found, site, output)
    if require_fit and site.verdict == "not-fit":
        raise PartlyDone(f"The bundle is not fit at {name}; {output / 'report.html'} says why.", code="not-fit")


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise UsageError(f"The name of the hospital must have 1 to {NAME_LENGTH} printable characters.")


def _images(data: Path, images: Path | None, where: list[str] | None, healthy: tuple[str, str] | None) -> "Manifest":
    from covid_xray.evaluation.site.images import read_images

    words = selection.table_words()
    with bar("index") as progress:
        return read_images(
            data, images=images, columns=words.columns, rename=words.rename, where=where, healthy=healthy,
            progress=progress,
        )  # fmt: skip


def _list(manifest: "Manifest", *, names: bool) -> None:
    """Say what is used and what is left out; with `names` each image on a line of stdout."""
    from covid_xray.data.manifest.manifest import summary

    err.line(summary(manifest))
    if names:
        for image, label in zip(manifest.table["image"], manifest.table["label"], strict=True):
            typer.echo(f"{image}\t{label or 'no label'}")


def _previous(folder: Path) -> "Site | None":
    from covid_xray.errors import InputRefused
    from covid_xray.inference.site.site_file import read_site

    try:
        return read_site(folder)
    except InputRefused as error:
        if error.code != "no-site":
            err.line(f"{error.message} It is replaced.")
        return None


def _print(found: "Commissioning", site: "Site", folder: Path) -> None:
    from covid_xray.evaluation.site.page import title

    lines = [f"{one.name}: {one.found} ({one.limit}: {'yes' if one.holds else 'no'})" for one in found.used.criteria]
    for line in (title(found), *lines, f"site file: {folder / 'site.json'}", f"to sign: {folder / 'report.pdf'}"):
        out.line(line)
    if found.provisional:
        err.line("provisional: few healthy images")
    if found.doubtful:
        err.line(f"{len(found.doubtful)} labels look wrong; the report lists them")
