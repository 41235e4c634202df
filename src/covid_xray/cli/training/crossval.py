"""Define the command `crossval`: score every image by a network that never saw it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import (
    ConfigFile,
    Data,
    Engine,
    Images,
    SettingList,
    err,
    folder_option,
    out,
    resumable,
    stages,
)
from covid_xray.cli.selection import Duplicates, Labels, Where, WithTrained
from covid_xray.cli.training.train import LungRun, quiet_tensorflow, settings_of, with_lungs
from covid_xray.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from covid_xray.data.manifest.manifest import Manifest

MAIN = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "ece")


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(selection.reads_table(crossval))


def crossval(
    data: Data,
    output: Annotated[Path, folder_option("Folder of the study; a run folder for each fold.")],
    folds: Annotated[int, typer.Option("--folds", min=2, help="How many.")] = 5,
    group: Annotated[
        Literal["patient", "image"],
        typer.Option("--group", help="patient, or image: ignore patients and copies, which leaks."),
    ] = "patient",
    leave_out: Annotated[
        Literal["source"] | None,
        typer.Option("--leave-out", help="source: hold each source out once, instead of folds."),
    ] = None,
    images: Images = None,
    model: Annotated[
        str | None, typer.Option("--model", help="vgg, efficientnet_lite0 or a Keras application.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most this many epochs a fold.")] = None,
    config: ConfigFile = None,
    settings: SettingList = None,
    lungs: LungRun = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep model.keras and bundle/ of each fold.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished study in OUTPUT.")] = False,
    engine: Engine = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="Of the cluster: auto or HOST:PORT; OUTPUT must be there too.")
    ] = None,
    with_trained: WithTrained = False,
) -> None:
    """Train and evaluate in folds by patient (or image, or source), and pool the predictions of all folds."""
    run_folds = _runner(engine, address)
    overrides = with_lungs(settings, lungs)
    chosen = settings_of(output, config=config, overrides=overrides, model=model, epochs=epochs, resume=resume)
    quiet_tensorflow()
    from covid_xray.data.manifest.manifest import require_classes
    from covid_xray.training.crossval.crossval import check_folder
    from covid_xray.training.crossval.folds import Protocol

    check_folder(output, resume=resume)  # before an hour of decoding
    protocol = Protocol(folds=folds, group=group, leave_out=leave_out)
    manifest = selection.read(data, images=images, labels=label, where=where, duplicates=duplicates)
    require_classes(manifest)
    how = {"out": output, "resume": resume, "keep_models": keep_models, "rounds": rounds, "run_folds": run_folds}
    how |= {"with_trained": with_trained}
    _print(_run(manifest, settings=chosen, protocol=protocol, **how), output)


def _run(manifest: "Manifest", **how: Any) -> dict[str, Any]:
    from covid_xray.training.crossval.crossval import crossval as run

    # Each fold builds its network anew, which TensorFlow takes for a mistake and reports at length.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with resumable(), stages() as progress:
        return run(manifest, **how, progress=progress)


def _runner(engine: str, address: str | None) -> "Callable[..., None] | None":
    if engine == "local":
        if address:
            raise UsageError("--address names a cluster, and --engine local uses none. Add --engine ray.")
        return None
    from covid_xray.cluster import fold_tasks, ray_session

    ray_session.check_reachable(address)
    return fold_tasks.fold_runner(address=address)


def _print(facts: dict[str, Any], output: Path) -> None:
    from rich.table import Table

    from covid_xray.evaluation.report.claims import without_figures

    for text in (facts["banner"], (facts["guessing"] or {}).get("says"), facts["confounded"]):
        if text:
            err.line(text, style="bold red")
    for text in facts["warnings"]:
        err.line(text)
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(("", "all folds", "95 % interval", "mean ± sd over folds")):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for name in MAIN:
        if name in facts["figures"]:
            table.add_row(name, *_cells(facts["figures"][name], facts["over_folds"].get(name)))
    out.line(f"{facts['title']}; research use, not for diagnosis")
    out.print(table)
    worst, small = facts["worst_source"], without_figures(facts["by_source"])
    if worst:
        out.line(f"worst source: {worst['name']}, accuracy {worst['value']:.3f}{small and f'; {small}'}")
    out.line(f"table: {output / 'crossval.md'}")


def _cells(figure: dict[str, Any], spread: dict[str, Any] | None) -> tuple[str, str, str]:
    span = "too few" if figure["ci_low"] is None else f"{figure['ci_low']:.3f} to {figure['ci_high']:.3f}"
    return f"{figure['value']:.3f}", span, f"{spread['mean']:.3f} ± {spread['sd']:.3f}" if spread else ""
