"""Define the command `wrap`: make a bundle of an ONNX classifier from elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Images, err, folder_option, out, print_next, stages
from covid_xray.errors import UsageError

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest

SHARE = 0.3  # of the images: for calibration, and for the test


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(wrap))


def wrap(
    model: Annotated[Path, typer.Argument(help="The ONNX file of a classifier, exported with a free batch axis.")],
    classes: Annotated[
        str, typer.Option("--classes", help="A name for each output in order: covid,normal,-; - leaves one out.")
    ],
    output: Annotated[Path, folder_option("Folder like that of a run, with the bundle in it.")],
    layer: Annotated[
        str | None, typer.Option("--layer", help="Tensor of the last feature maps; default: what is pooled.")
    ] = None,
    value_range: Annotated[
        str, typer.Option("--range", help="What black and white become, such as -1024,1024 for torchxrayvision.")
    ] = "0,1",
    mean: Annotated[str, typer.Option("--mean", help="Subtracted after that: one value, or one a channel.")] = "",
    std: Annotated[str, typer.Option("--std", help="Divided by after that.")] = "",
    size: Annotated[int, typer.Option("--size", min=0, help="Rows and columns, where the file leaves them open.")] = 0,
    data: Annotated[
        Path | None, typer.Option("--data", help="Labelled images that the network was not trained on, to calibrate.")
    ] = None,
    images: Images = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the split of these images.")] = 0,
) -> None:
    """Make a bundle of a classifier from PyTorch or elsewhere, which is calibrated, evaluated and served like ours."""
    from covid_xray.training.onnx.wrap import Foreign
    from covid_xray.training.onnx.wrap import wrap as run

    black, white = _numbers(value_range, option="--range", count=2)
    about = Foreign(
        tuple(name.strip() for name in classes.split(",")), layer=layer, black=black, white=white, size=size,
        mean=_numbers(mean, option="--mean"), std=_numbers(std, option="--std"),
    )  # fmt: skip
    manifest = None if data is None else selection.read(data, images=images)
    wrapped = run(model, output / "bundle", about)
    out.line(f"bundle: {output / 'bundle'} (parity with {model.name}: {wrapped.parity:.1e})")
    if manifest is None:
        err.line("not calibrated: its probabilities, sets and gate need images. Give some with --data")
        print_next("evaluate", output, data="DATA")
        return
    _calibrate(output, manifest, seed=seed)
    print_next("evaluate", output, **selection.data_options(data=data, images=images))


def _calibrate(output: Path, manifest: "Manifest", *, seed: int) -> None:
    """Split the images, fit temperature, sets, points and gate, and keep a test part for `evaluate`."""
    from covid_xray.data.split.split import make_split, write_split
    from covid_xray.evaluation.calibrate import fit_or_explain
    from covid_xray.evaluation.gate.fit import describe_gate, store_gate

    split = make_split(manifest, val_fraction=0.0, calibration_fraction=SHARE, test_fraction=SHARE, seed=seed)
    write_split(output / "split.csv", split, manifest)
    held = manifest.take(split.reindex(manifest.table["image"]).eq("calibration").to_numpy())
    bundle, part = output / "bundle", "calibration"
    with stages() as progress:
        fitted = fit_or_explain(bundle, held, part=part, progress=lambda d, n: progress("calibrate", d, n, ""))
        gate = store_gate(bundle, manifest, split, part=part, progress=lambda d, n: progress("gate", d, n, ""))
    out.line(fitted)
    out.line(describe_gate(gate))


def _numbers(text: str, *, option: str, count: int = 0) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if (text and not numbers) or (count and len(numbers) != count) or len(numbers) not in (0, 1, 2, 3):
        raise UsageError(f"Not numbers: {option} {text}. Write them with commas, such as -1024,1024.")
    return numbers
