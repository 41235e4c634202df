"""Define the commands train, export and evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import (
    ConfigFile,
    Data,
    Images,
    SettingList,
    SplitFile,
    Tta,
    err,
    folder_option,
    out,
    print_next,
    resumable,
    stages,
)
from covid_xray.cli.selection import Duplicates, Labels, PartName, Run, RunOutput, Where, WithTrained
from covid_xray.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from covid_xray.config import Training
    from covid_xray.data.manifest.manifest import Manifest

FEW = 30  # images of a part below which what is chosen on it is little certain

LungRun = Annotated[
    Path | None,
    typer.Option("--lungs", help="Crop every image to the lungs that the network in this run or bundle finds."),
]


Init = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="Begin from this bundle or run, or from the network that ships (default), and take over its crop.",
    ),
]

Model = Annotated[
    str | None,
    typer.Option("--model", help="vgg, efficientnet_lite0, a Keras application, or package.module:function."),
]
Track = Annotated[
    Literal["csv", "tensorboard", "mlflow"] | None,
    typer.Option("--track", help="Also send the figures of each epoch to tensorboard or mlflow."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(train))
    app.command()(selection.reads_table(evaluate))
    app.command()(selection.reads_table(export))


def train(
    data: Data,
    output: Annotated[Path, folder_option("The run folder.")],
    images: Images = None,
    model: Model = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most this many epochs.")] = None,
    config: ConfigFile = None,
    settings: SettingList = None,
    split: SplitFile = None,
    init: Init = None,
    lungs: LungRun = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    processes: Annotated[
        int,
        typer.Option("--processes", min=0, help="Number of processes that train together (Keras on JAX, Ray)."),
    ] = 0,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", help="Of a Ray cluster, for --processes: auto or HOST:PORT; OUTPUT must be there too."
        ),
    ] = None,
    track: Track = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in OUTPUT.")] = False,
) -> None:
    """Train a network on a folder or CSV of chest X-rays, choose its best epoch, and export it as a bundle."""
    others = {"init": json.dumps(init) if init else None, "track": track}
    chosen = settings_of(
        output, config=config, overrides=[*with_lungs(settings, lungs), *(f"{k}={v}" for k, v in others.items() if v)],
        model=model, epochs=epochs, resume=resume,
    )  # fmt: skip
    elsewhere = _parallel_trainer(chosen, processes, address)
    quiet_tensorflow()
    from covid_xray.data.manifest.manifest import require_classes
    from covid_xray.training import train as program

    program.check_start(chosen, output, resume=resume)  # before an hour of decoding
    manifest = selection.read(data, images=images, labels=label, where=where, duplicates=duplicates)
    require_classes(manifest)
    parts = split_for(manifest, chosen, given=split or _split_of(output, resume=resume))
    print_parts(manifest, parts)
    with resumable(), stages() as progress:
        how: dict[str, Any] = {"out": output, "resume": resume, "progress": progress, "elsewhere": elsewhere}
        bundle = program.train(manifest, parts, settings=chosen, **how)
    out.line(f"bundle: {bundle}")
    _warn_of_guessing(output, manifest, parts)
    print_next("evaluate", output, **selection.data_options(data=data, images=images, label=label, where=where))


def _parallel_trainer(settings: "Training", processes: int, address: str | None) -> "Callable[[Any], None] | None":
    """Make what runs the epochs in several processes; `None` where this process runs them."""
    if not processes:
        if address:
            raise UsageError("--address names a cluster, and nothing would run there. Add --processes N.")
        return None
    from covid_xray.cluster import data_parallel, ray_session

    ray_session.check_reachable(address)  # before a day of decoding
    return data_parallel.trainer(settings, processes=processes, address=address)


def evaluate(
    run: Run,
    data: Data,
    output: RunOutput = None,
    images: Images = None,
    part: PartName = None,
    label: Labels = None,
    where: Where = None,
    baselines: Annotated[Path | None, typer.Option("--baselines", help="baselines.json of this data set.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    prevalence: Annotated[
        str | None, typer.Option("--prevalence", help="Also report figures for this population: covid=0.05,virus=0.1.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf, the report for print.")] = False,
    with_trained: WithTrained = False,
    bundle: Annotated[
        list[Path] | None, typer.Option("--bundle", help="A further bundle that answers together with RUN; repeatable.")
    ] = None,
    tta: Tta = None,
) -> None:
    """Score a bundle on labelled images: metrics with intervals, figures and report.html."""
    from covid_xray.cli.evaluation.evaluate import read_result, run_study
    from covid_xray.evaluation.study import Study

    manifest = selection.read(data, images=images, labels=label, where=where, show=False)
    known = read_result(baselines, command="baselines")
    study = Study(run, output, part=part, baselines=known, rounds=rounds, prevalence=prevalence, pdf=pdf,
                  with_trained=with_trained, others=tuple(bundle or ()))  # fmt: skip
    run_study(study, manifest, tta=tta)


def export(
    run: Annotated[Path, typer.Argument(help="A run folder with model.keras.")],
    output: Annotated[Path | None, folder_option("Bundle; default: bundle/ in the run.")] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also the network in int8, calibrated on the run's training images.")
    ] = False,
    data: Annotated[Path | None, typer.Option("--data", help="The data of the run, for --int8.")] = None,
    images: Images = None,
) -> None:
    """Write the bundle of a trained run anew, after proving that ONNX Runtime and Keras agree on it."""
    if int8 and data is None:
        raise UsageError("--int8 is calibrated on training images. Give the data set of the run with --data.")
    quiet_tensorflow()
    from covid_xray.bundle.bundle import read_facts
    from covid_xray.training.onnx.export import export_run

    target = output or run / "bundle"
    parity = export_run(run, target)
    out.line(f"bundle: {target} (parity with Keras: {max(parity.values()):.1e})")
    if not read_facts(target).get("calibration"):
        out.line("not calibrated; covid-xray calibrate does it")
    if int8 and data is not None:
        _export_int8(run, target, selection.read(data, images=images, show=False))


def _export_int8(run: Path, bundle: Path, manifest: "Manifest") -> None:
    from covid_xray.data.split.split import read_split
    from covid_xray.training.onnx.quantise import add_int8

    facts = add_int8(bundle, manifest, read_split(run / "split.csv"))
    text = f"int8: calibrated on {facts['calibration']['images']} training images"
    if facts["checked_images"]:
        text += (
            f"; on {facts['checked_images']} validation images {facts['agreement']:.1%} of the labels as in float32, "
            f"macro-F1 {facts['macro_f1_difference']:+.4f}"
        )
    out.line(text)


def with_lungs(overrides: list[str] | None, lungs: Path | None) -> list[str]:
    """Return the overrides and those that --lungs stands for."""
    return [*(overrides or ()), *([f"lungs={json.dumps(str(lungs))}", "crop=lungs"] if lungs else ())]


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up lines; only now, since commands that do not train start without it."""
    from covid_xray.training.quiet import quiet_tensorflow as quiet

    quiet()


def settings_of(
    output: Path,
    *,
    config: Path | None,
    overrides: list[str] | None,
    model: str | None,
    epochs: int | None,
    resume: bool,
) -> "Training":
    """Load the settings of a run in `output`: those of the file, else those of the run that is resumed."""
    from covid_xray.config import Training, load
    from covid_xray.models import zoo

    chosen = list(overrides or ())
    chosen += [f"model={model}"] if model else []
    chosen += [] if epochs is None else [f"epochs={epochs}"]
    if resume and config is None and (output / "config.yaml").is_file():
        config = output / "config.yaml"
    loaded = load(Training, file=config, overrides=chosen)
    return loaded if loaded.init else zoo.checked(loaded)  # a bundle to begin from brings its network


def split_for(manifest: "Manifest", settings: "Training", *, given: Path | None) -> "pd.Series":
    """Read the split in the file `given`, or make a new one (`training.parts.split_for`), with remarks on stderr."""
    from covid_xray.training import parts

    return parts.split_for(manifest, settings, given=given, say=lambda text, warning: err.line(text))


def print_parts(manifest: "Manifest", split: "pd.Series") -> None:
    """Print images per class and part on stderr."""
    import pandas as pd

    table = manifest.table.set_index("image")["label"]
    counts = pd.crosstab(table, split.reindex(table.index), rownames=[""], colnames=["split"])
    order = [part for part in ("train", "val", "calibration", "test") if part in counts]
    err.line("\n" + counts[order].to_string() + "\n")
    for part in ("val", "calibration", "test"):
        images = int((split == part).sum())
        if 0 < images < FEW:
            err.line(f"the {part} part has only {images} images: what is chosen or measured on it is little certain")


def _warn_of_guessing(output: Path, manifest: "Manifest", split: "pd.Series") -> None:
    """Print where the accuracy of the chosen epoch, on the validation part, is no better than answering one class."""
    import numpy as np
    import pandas as pd

    from covid_xray.evaluation.metrics.guessing import guessing_of

    rows = pd.read_csv(output / "history.csv") if (output / "history.csv").is_file() else pd.DataFrame()
    labels = list(manifest.table["label"][manifest.table["image"].map(split).eq("val").to_numpy()])
    if not {"val_loss", "val_accuracy"} <= set(rows) or rows.empty or not labels:
        return
    accuracy = float(rows["val_accuracy"].to_numpy()[rows["val_loss"].to_numpy().argmin()])
    found = guessing_of(labels, np.arange(len(labels)) < round(accuracy * len(labels)))
    if found and found["says"]:
        err.line(f"validation part, {len(labels):,} images: {found['says']}", style="bold red")


def _split_of(output: Path, *, resume: bool) -> Path | None:
    path = output / "split.csv"
    return path if resume and path.is_file() else None
