"""Define the command `fuse`: give a bundle a clinical input and measure its worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import Data, Images, err, folder_option, out, stages
from covid_xray.cli.selection import Duplicates, Labels, Where
from covid_xray.cli.training.train import quiet_tensorflow
from covid_xray.errors import UsageError

if TYPE_CHECKING:
    from covid_xray.data.manifest.manifest import Manifest


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(selection.reads_table(fuse))


def fuse(
    run: Annotated[Path, typer.Argument(help="A run folder or a bundle; its answers for images alone stay.")],
    data: Data,
    output: Annotated[Path | None, folder_option("Folder of the study; default: the run folder.")] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Write the new bundle here instead of in its place.")
    ] = None,
    images: Images = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    study: Annotated[bool, typer.Option("--study/--no-study", help="Measure what clinical values are worth.")] = True,
    rounds: Annotated[int, typer.Option("--rounds", min=10, help="Bootstrap rounds of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of folds, field drop-out and bootstrap.")] = 0,
) -> None:
    """Add a clinical input (age, sex, oxygen ...) to a bundle, trained on images that its network never saw."""
    from covid_xray.bundle.bundle import bundle_folder

    source = bundle_folder(run)
    if study and output is None and source == run:
        raise UsageError(
            f"No folder for the study: {run} is a bundle without a run folder. Give one with -o FOLDER or --no-study."
        )
    quiet_tensorflow()
    from covid_xray.evaluation.clinical.clinical_predictions import predict_with_clinical
    from covid_xray.training.clinical.fuse import fuse as fused
    from covid_xray.training.clinical.fusion_training import Recipe

    manifest = _unseen(run, selection.read(
        data, images=images, labels=label, where=where, duplicates=duplicates, show=False, check=False,
    ))  # fmt: skip
    with stages() as progress:
        answers = predict_with_clinical(
            source, selection.check_rows(manifest), progress=lambda d, n: progress("answer", d, n, "")
        )
        progress("fuse", 0, 1, "")
        facts = fused(source, answers, out=bundle, recipe=Recipe(seed=seed))
        progress("fuse", 1, 1, "")
    target = bundle or source
    _print(facts, target)
    if study:
        from threadpoolctl import threadpool_limits

        from covid_xray.training.clinical.clinical_report import write_study

        with stages() as progress, threadpool_limits(1):  # many small products: threads would wait for each other
            found = write_study(output or run, target, answers, rounds=rounds, seed=seed, step=progress)
        for line in found["lines"]:
            out.line(line)
        err.line(f"written: {(output or run) / 'clinical.md'}")


def _unseen(run: Path, manifest: "Manifest") -> "Manifest":
    """Select images that the network was not trained on, by split.csv of the run or the column of the table."""
    import dataclasses

    from covid_xray.data.split.split import read_split
    from covid_xray.training.clinical.fuse import PARTS, in_parts

    if (run / "split.csv").is_file():
        split = read_split(run / "split.csv")
        part = manifest.table["image"].map(split).fillna("")
        manifest = dataclasses.replace(manifest, table=manifest.table.assign(split=part.to_numpy()))
    return manifest.take(in_parts(manifest, (*PARTS, "test")))


def _print(facts: dict[str, Any], folder: Path) -> None:
    used = [field["title"] for field in facts["fields"] if field["used"]]
    trained = facts["trained_on"]
    stated = trained["stating_a_used_field"]
    parity = max(facts["parity"].values())
    out.line(f"bundle with a clinical input: {folder} (parity with Keras {parity:.1e}; model.onnx as it was)\n"
        f"trained on {trained['images']:,} images of {' and '.join(trained['parts'])}, {stated['images']:,} of "
        f"{stated['patients']:,} patients state a field that may speak: {', '.join(used)}")  # fmt: skip
    for field in facts["fields"]:
        if not field["used"] and any(field["patients"].values()):
            err.line(f"not used: {field['title']}: {field['reason']}")
