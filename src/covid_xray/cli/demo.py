"""Define the command `demo`: draw phantoms and run everything on them, from index to heat maps.

Every step is what its own command does; the demo only chooses small settings, so that it ends in minutes on two cores.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import bar, err, folder_option, out, stages
from covid_xray.cli.training.train import print_parts, quiet_tensorflow, split_for
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import make_folder

if TYPE_CHECKING:
    from covid_xray.config import Training
    from covid_xray.data.manifest.manifest import Manifest

BANNER = (
    "These images are drawn phantoms, not patients. The figures below show that the software works; "
    "they prove nothing about any radiograph of a person."
)
MARKER = ".covid-xray-demo"
# Plain values: the settings are checked when the demo runs, not whenever the command line starts.
SETTINGS: dict[str, Any] = {
    "image_size": 112,
    "blocks": (16, 32, 64, 96),
    "dense": (96,),
    "dropout": 0.15,
    "initializer": "he_normal",  # a few hundred images are too few for the slow start of the default
    "learning_rate": 7e-4,
    "epochs": 30,
    "batch_size": 16,
    "early_stopping_patience": 12,
    "reduce_lr_patience": 4,
}


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(demo)


def demo(
    output: Annotated[Path, folder_option("Folder for everything.")] = Path("demo"),
    patients: Annotated[int, typer.Option("--patients", min=30, help="Patients to draw.")] = 320,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="At most this many epochs.")] = SETTINGS["epochs"],
    seed: Annotated[int, typer.Option("--seed", help="Same seed: same phantoms.")] = 0,
) -> None:
    """Draw synthetic radiographs and run the main job on them, end to end."""
    from covid_xray.config import Training

    _prepare_folder(output)
    data, run = output / "data", output / "run"
    manifest = _deduplicated(_index(data, patients=patients, seed=seed), output / "duplicates.csv")
    settings = Training(**{**SETTINGS, "epochs": epochs, "seed": seed})
    bundle = _train(manifest, run, settings)
    _step(5, "evaluate on the test part, with intervals, figures and a report")
    from covid_xray.cli.evaluation.evaluate import run_study
    from covid_xray.evaluation.study import Study

    metrics = run_study(Study(run=run, part="test", banner=BANNER), manifest)
    chosen = _predict(manifest, run, bundle, output)
    _print_summary(metrics, run, output, chosen)


def _prepare_folder(output: Path) -> None:
    """Make an empty folder; only one that an earlier demo made is emptied."""
    if output.exists() and any(output.iterdir()):
        if not (output / MARKER).is_file():
            raise UsageError(f"{output} holds files that are not of a demo. Name a new folder with -o.")
        shutil.rmtree(output)
    make_folder(output)
    (output / MARKER).touch()


def _step(number: int, what: str) -> None:
    err.print(f"\n[bold]{number}/7 {what}[/]", highlight=False)


def _index(data: Path, *, patients: int, seed: int) -> "Manifest":
    from covid_xray.images.phantoms.dataset import draw_dataset

    _step(1, "draw phantoms: three hospitals; PNG, JPEG and DICOM; some copies and some broken files on purpose")
    with bar("draw") as progress:
        summary = draw_dataset(data, patients=patients, seed=seed, progress=progress)
    err.line(
        f"drew {summary.files} files of {summary.patients} patients: {summary.good} good ones, "
        f"{summary.copies} copies, {summary.recompressed} re-compressed copies, {summary.broken} broken files"
    )
    _step(2, "index: every file ends in the manifest, or in quarantine with a reason")
    manifest = selection.read(data)
    if manifest.found != summary.files or len(manifest.quarantine) != summary.broken:
        raise CovidXrayError(
            f"The index is wrong: it found {manifest.found} files and refused {len(manifest.quarantine)} of "
            f"{summary.files} drawn files with {summary.broken} broken ones."
        )
    return manifest


def _deduplicated(manifest: "Manifest", table: Path) -> "Manifest":
    """Join copies of one radiograph, so that they land in one part of the split."""
    from covid_xray.data.duplicates.duplicates import find_duplicates, write_duplicates
    from covid_xray.data.split.groups import with_duplicates

    _step(3, "duplicates: the same radiograph under two names, also re-compressed and smaller")
    with stages() as progress:
        found = find_duplicates(
            {image: manifest.path(image) for image in manifest.table["image"]},
            progress=lambda step, done, total: progress(step, done, total, ""),
        )
    write_duplicates(found, table)
    groups = found["group"].nunique()
    err.line(f"{len(found)} images show {groups} radiographs (two exposures of a phantom count as one)")
    return with_duplicates(manifest, found)


def _train(manifest: "Manifest", run: Path, settings: "Training") -> Path:
    _step(4, "split by patient, train, choose the best epoch, export with proof of parity")
    quiet_tensorflow()
    from covid_xray.training.train import train

    split = split_for(manifest, settings, given=None)
    print_parts(manifest, split)
    with stages() as progress:
        return train(manifest, split, settings=settings, out=run, progress=progress)


def _predict(manifest: "Manifest", run: Path, bundle: Path, output: Path) -> list[str]:
    """Classify and explain some test images from their files, and write a submission."""
    from covid_xray.cli.inference import predict
    from covid_xray.data.split.split import read_split

    split = read_split(run / "split.csv")
    table = manifest.table[manifest.table["image"].map(split).eq("test")]
    some = [str(manifest.path(image)) for _, rows in table.groupby("label") for image in rows["image"][:3]]
    _step(6, "predict and explain nine test images from their files, with ONNX Runtime alone")
    predict.predict(paths=some, output=output / "predict", bundle=[bundle], heatmap=True)
    predict.explain(paths=some[:3], output=output / "explain", bundle=bundle, every=True)
    _step(7, "a Kaggle submission for a folder of images without labels")
    predict.submit(data=_unlabelled(some, output / "unlabelled"), output=output / "submission.csv", bundle=bundle)
    return some


def _unlabelled(images: list[str], folder: Path) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        shutil.copyfile(image, folder / f"{number:03}{Path(image).suffix}")
    return folder


def _print_summary(metrics: dict[str, Any], run: Path, output: Path, chosen: list[str]) -> None:
    from covid_xray.cli.evaluation.evaluate import show

    out.line(f"\nmacro-F1 on phantoms: {show(metrics['figures']['macro_f1'], metrics)}")
    out.print(f"[red]{BANNER}[/]", highlight=False)
    out.line(f"report:     {(run / 'report.html').resolve()}")
    out.line(f"heat maps:  {(output / 'predict' / 'heatmaps').resolve()} ({len(chosen)} images)")
    out.line(f"bundle:     {(run / 'bundle').resolve()}")
