"""Define the commands about the lung network: train-lungs makes one, lungs shows its regions."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import ConfigFile, Data, Images, SettingList, folder_option, out, print_next, stages
from covid_xray.cli.selection import Duplicates, Labels, Where
from covid_xray.cli.terminal import bar, finish, list_items
from covid_xray.errors import BadManifest
from covid_xray.files import make_folder

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest
    from covid_xray.inference.finding import Failure
    from covid_xray.inference.io.inputs import Item
    from covid_xray.inference.lung_pictures import Drawn
    from covid_xray.inference.lungs import LungFinder


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command(name="train-lungs")(selection.reads_table(train_lungs))
    app.command(name="lungs")(show_lungs)


def train_lungs(
    data: Data,
    masks: Annotated[Path, typer.Option("--masks", help="Folder of PNG masks named like the images; bright is lung.")],
    output: Annotated[Path, folder_option("The run folder.")],
    images: Images = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", min=0.01, max=0.9, help="Share of the patients for the test.")
    ] = 0.2,
    test_only_unlicensed: Annotated[
        bool,
        typer.Option(
            "--test-only-unlicensed", help="Images without a licence for derivatives are used for tests only."
        ),
    ] = False,
    config: ConfigFile = None,
    settings: SettingList = None,
) -> None:
    """Train the small network that finds the lungs, and measure it on patients that it never saw."""
    from covid_xray.config import LungTraining, load

    chosen = load(LungTraining, file=config, overrides=settings or ())
    from covid_xray.training.quiet import quiet_tensorflow

    quiet_tensorflow()
    manifest, files = _masked(
        selection.read(data, images=images, labels=label, where=where, duplicates=duplicates, show=False, check=False),
        masks,
    )
    from covid_xray.data.split.held_out import forbids_derivatives, held_out
    from covid_xray.training.train_lungs import train_lungs as run

    bound = forbids_derivatives(manifest) if test_only_unlicensed else None
    split = held_out(manifest, share=test_fraction, seed=chosen.seed, test_only=bound)
    counts = split.value_counts()
    out.line(f"{len(files)} images with masks: {counts['train']} train, {counts['test']} test")
    with stages() as progress:
        facts = run(manifest, files, split, settings=chosen, out=output, progress=progress)
    test = facts["test"]
    out.line(
        f"Dice on {facts['images']['test']} images of other patients: mean {test['dice_mean']:.3f}, "
        f"least {test['dice_least']:.3f}; {test['implausible']} not plausible; {facts['bytes']:,} bytes"
    )
    print_next("lungs", output, images or (data if data.is_dir() else data.parent), output=output / "pictures")


def show_lungs(
    network: Annotated[Path, typer.Argument(help="A run of train-lungs, a training run, or a bundle.")],
    paths: Annotated[list[str], typer.Argument(help="Images, folders, globs or zip archives.")],
    output: Annotated[Path, folder_option("Folder for the pictures.")],
    sheets_only: Annotated[bool, typer.Option("--sheets-only", help="No picture for each image.")] = False,
) -> None:
    """Draw the lungs and the crop box over each image, and contact sheets, so that people can look."""
    from covid_xray.bundle.lung_network_folder import read_network
    from covid_xray.inference.lung_pictures import write_sheets
    from covid_xray.inference.view import open_lungs

    finder = open_lungs(read_network(network))
    items, passed_over = list_items(paths)
    failures: list[Failure] = []
    make_folder(output)
    tiles = _tiles(finder, items, None if sheets_only else output, failures)
    found: list[bool] = []
    sheets = write_sheets(_noted(tiles, found), output)
    out.line(f"{len(found)} images, {found.count(False)} without plausible lungs; {len(sheets)} sheets in {output}")
    finish(failures, len(items), passed_over=passed_over)


def _masked(manifest: "Manifest", masks: Path) -> "tuple[Manifest, dict[str, Path]]":
    """Select the images that have a mask, check them, and return the mask of each."""
    from covid_xray.evaluation.audit.lung_masks import mask_files

    files = mask_files(manifest.table["image"].tolist(), masks)
    if not files:
        raise BadManifest(f"No mask in {masks} has the name of an image. Name each mask like its image.")
    manifest = selection.check_rows(manifest.take(list(files)))
    return manifest, {image: files[image] for image in manifest.table["image"]}


def _tiles(
    finder: "LungFinder", items: "list[Item]", folder: Path | None, failures: "list[Failure]"
) -> "Iterator[tuple[str, Drawn]]":
    """Draw each image small, and large into `folder` if there is one."""
    from covid_xray.errors import BadImage
    from covid_xray.inference.finding import Failure
    from covid_xray.inference.heatmap_files import LONGEST, picture_name
    from covid_xray.inference.io.inputs import open_source
    from covid_xray.inference.lung_pictures import TILE, draw, write_drawn
    from covid_xray.limits import Limits

    with bar("lungs") as progress:
        for done, item in enumerate(items, start=1):
            try:
                radiograph = open_source(item, limits=Limits())
            except BadImage as error:
                failures.append(Failure(item.name, error.code, error.message))
                continue
            lungs = finder.find(radiograph)
            if folder:
                write_drawn(draw(radiograph, lungs, longest=LONGEST), folder / picture_name(item.name, "lungs"))
            yield Path(item.name).stem, draw(radiograph, lungs, longest=TILE)
            progress(done, len(items))


def _noted(tiles: "Iterator[tuple[str, Drawn]]", found: list[bool]) -> "Iterator[tuple[str, Drawn]]":
    for name, drawn in tiles:
        found.append(drawn.plausible)
        yield name, drawn
