"""Read, split, train, evaluate and audit from Python, as the commands of the same names do.

from covid_xray import evaluate, read, train

data = read("scans")                            # a folder of class folders, a CSV, or a DataFrame
run = train(data, output="runs/first", epochs=12)
report = evaluate(run, data)
report.to_frame(), report.figures["roc"], report.metrics["warnings"]
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from covid_xray.api.progress import bar, say, stages
from covid_xray.api.results import AuditReport, Report, Run, Scratch
from covid_xray.bundle.bundle import bundle_folder
from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import Manifest, read_manifest, require_classes, select
from covid_xray.data.manifest.tables import read_table
from covid_xray.data.split.groups import with_duplicates
from covid_xray.errors import UsageError
from covid_xray.inference.predictor import Predictor

if TYPE_CHECKING:
    import keras

Data = str | Path | pd.DataFrame | Manifest
Folder = str | os.PathLike[str]


def read(
    data: Data,
    *,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    labels: Sequence[str] | Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    duplicates: str | Path | None = None,
    progress: bool = True,
) -> Manifest:
    """Read a data set and check every file: what cannot be used is in `.quarantine` with its reason.

    Args:
        data: a folder of class folders, a table (CSV, Parquet, Excel, JSON lines), a DataFrame with `image` and
            `label`, or a manifest, which is only filtered.
        images: folder of the images that a table names.
        columns: our column -> the table's, such as `{"image": "path", "label": "Diagnosis"}`.
        rename: label in the table -> label here.
        labels: keep these labels, or `source:label`.
        where: keep rows with `column=value`.
        duplicates: duplicates.csv of `covid-xray duplicates`; copies of a radiograph then stay in one part.
        progress: show a bar.

    Examples:
        >>> from covid_xray import read
        >>> data = read("scans", labels=["covid", "normal"], progress=False)
        >>> data.classes, len(data.quarantine)
        (('covid', 'normal'), 0)

    Raises:
        BadManifest: no usable image, or a table that contradicts itself.
        UsageError: a filter or name that fits nothing.
    """
    if isinstance(data, Manifest):
        manifest = data
    else:
        where_from = Path(images) if images is not None else None
        needed = {name.split(":")[-1] for name in labels} if labels else None
        with bar("index", show=progress) as update:
            manifest = read_manifest(
                data, images=where_from, columns=columns, rename=rename, needed=needed, progress=update
            )
    if labels or where:
        manifest = select(manifest, labels=labels, where=where)
    return (
        with_duplicates(manifest, read_table(Path(duplicates), required=("group", "image"))) if duplicates else manifest
    )


def split(data: Data, *, progress: bool = True, **settings: Any) -> pd.Series:
    """Assign each image to train, val, calibration or test, by patient and group of duplicates.

    Args:
        data: as of `read`.
        progress: show a bar.
        settings: of `Training`: `val_fraction`, `test_fraction`, `calibration_fraction`, `seed`.

    Returns:
        The part of each image; its index is the image.

    Examples:
        >>> from covid_xray import split
        >>> parts = split("scans", val_fraction=0.2, test_fraction=0.2, progress=False)
        >>> sorted(set(parts))
        ['test', 'train', 'val']

    Raises:
        BadSplit: a class with fewer patients than parts, or given parts that share a patient.
    """
    from covid_xray.training.parts import split_for

    return split_for(read(data, progress=progress), load(Training, overrides=overrides_of(settings)), say=say)


def train(
    data: Data,
    *,
    output: Folder,
    images: str | Path | None = None,
    split: pd.Series | str | Path | None = None,
    model: "str | keras.Model | Callable[..., keras.Model] | None" = None,
    resume: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train a network, choose its best epoch, export and calibrate it as a bundle.

    Args:
        data: as of `read`; `images` too.
        output: the run folder.
        split: part of each image, from `split` or a split.csv; `None` makes one.
        model: name of a network, `package.module:function`, a function of (settings, classes) that returns a Keras
            model, or a Keras model, which is copied with its weights. Default: the network of the original project.
        resume: continue an unfinished run in `output`.
        progress: show bars.
        settings: of `covid_xray.config.Training`: `epochs=12`, `image_size=128`, `augmentation={"zoom": 0}`.

    Examples:
        >>> from covid_xray import train
        >>> run = train("scans", output="runs/first", epochs=12)  # doctest: +SKIP

    Raises:
        UsageError: a setting or network that does not fit, or `output` holds another run.
        BadManifest, BadSplit: the data cannot be trained on.
        ExportFailed: no bundle can be made of the network; nothing was trained.
    """
    from covid_xray.training.quiet import quiet_tensorflow

    quiet_tensorflow()
    from covid_xray.training import train as program

    folder = Path(output)
    with named(model) as setting, stages(show=progress) as update:
        values = {**settings, **setting}
        kept = folder / "config.yaml" if resume and not settings and (folder / "config.yaml").is_file() else None
        chosen = program.check_start(load(Training, file=kept, overrides=overrides_of(values)), folder, resume=resume)
        manifest = read(data, images=images, progress=progress)
        require_classes(manifest)
        parts = parts_of(manifest, chosen, split if split is not None else _kept_split(folder, resume=resume))
        program.train(manifest, parts, settings=chosen, out=folder, resume=resume, progress=update)
    return Run(folder)


def evaluate(
    run: Folder | Sequence[Folder],
    data: Data,
    *,
    images: str | Path | None = None,
    part: str | None = None,
    output: Folder | None = None,
    rounds: int = 1000,
    prevalence: str | None = None,
    baselines: str | Path | None = None,
    pdf: bool = False,
    with_trained: bool = False,
    tta: int | None = None,
    progress: bool = True,
) -> Report:
    """Score a run or bundle on labelled images; images that made the network are recognised and left out.

    Args:
        run: what `train` returned, or the folder of a run or bundle; several in a list answer together.
        data: as of `read`; `images` too.
        part: of the (first) run's split; default: `test` where there is one.
        output: folder of the results; default: the run's, or a temporary one that lives as long as the report.
        prevalence: also report figures for this population, such as `"covid=0.05,virus=0.1"`.
        baselines: the baselines.json of this data set.
        rounds: of the bootstrap.
        pdf: also write report.pdf.
        with_trained: keep images that made the network in the figures, marked in red.
        tta: as of `Predictor`.
        progress: show a bar.

    Examples:
        >>> from covid_xray import evaluate
        >>> evaluate("runs/first", "scans").to_frame().loc["accuracy"]  # doctest: +SKIP

    Raises:
        InputRefused: foreign labels, no image left to score, or images of an uncertain part.
        BadBundle: no bundle, or an altered one.
    """
    from covid_xray.evaluation.study import Study, run_study

    folder, *others = [Path(one) for one in ([run] if isinstance(run, str | os.PathLike) else run)]
    target, kept = _target(folder, output, several=bool(others))
    known = json.loads(Path(baselines).read_text(encoding="utf-8")) if baselines else None
    predictor = Predictor([folder, *others], tta=tta)
    study = Study(folder, target, part=part, baselines=known, rounds=rounds, pdf=pdf, prevalence=prevalence,
                  banner=predictor.caution or None, with_trained=with_trained, others=tuple(others))  # fmt: skip
    manifest = read(data, images=images, progress=progress)
    with bar("evaluate", show=progress) as update:
        metrics = run_study(study, predictor, manifest, say=say, progress=update)
    return Report(study.target, metrics, kept)


def audit(
    run: Folder,
    data: Data,
    *,
    images: str | Path | None = None,
    part: str | None = None,
    output: Folder | None = None,
    with_trained: bool = False,
    progress: bool = True,
    **plan: Any,
) -> AuditReport:
    """Measure how much of a score is left without the lungs, and test the heat maps.

    Args:
        run: as of `evaluate`.
        data: as of `read`.
        part: as of `evaluate`; so are `images`, `output` and `with_trained`.
        progress: show bars.
        plan: of `covid_xray.evaluation.audit.audit.Plan`: `masks`, `lungs`, `images`, `rounds`, `seed`, `heatmaps`.

    Examples:
        >>> from covid_xray import audit
        >>> found = audit("runs/first", "scans", rounds=20, heatmaps=0, progress=False)
        >>> "whole" in found.to_frame().index, bool(found.verdict)
        (True, True)

    Raises:
        BadManifest: labels that the network does not know, or of one class only.
        InputRefused: no image with known lungs.
    """
    from covid_xray.evaluation.audit import audit as program
    from covid_xray.evaluation.study import choose, without_trained

    folder = Path(run)
    target, kept = _target(folder, output)
    try:
        settings = program.Plan(**plan)
    except TypeError as error:
        raise UsageError(f"No such setting of an audit: {error}.") from None
    predictor = Predictor(folder)
    chosen, name = choose(read(data, images=images, progress=progress), folder / "split.csv", part=part)
    chosen, trained = without_trained(folder, chosen, part=part, taken=name, with_trained=with_trained, say=say)
    settings = replace(settings, part=name, trained=trained)
    with stages(show=progress) as update:
        found = program.audit(predictor, chosen, settings, progress=update)
    where = target or folder
    program.write_audit(found, where)
    return AuditReport(where, found.facts, kept)


@contextmanager
def named(model: "str | keras.Model | Callable[..., keras.Model] | None") -> Iterator[dict[str, str]]:
    """Yield the setting that names the network, also one that is handed over, inside the context."""
    if model is None or isinstance(model, str):
        yield {"model": model} if model else {}
        return
    from covid_xray.models import own

    with own.handed(model) as name:
        yield {"model": name}


def overrides_of(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as key=value; JSON is YAML."""
    return [f"{name}={json.dumps(value, default=str)}" for name, value in settings.items()]


def parts_of(manifest: Manifest, settings: Training, given: "pd.Series | str | Path | None") -> pd.Series:
    """Return the split that was given, read it from its file, or make one."""
    from covid_xray.training.parts import split_for

    if isinstance(given, pd.Series):
        return given
    return split_for(manifest, settings, given=None if given is None else Path(given), say=say)


def _kept_split(folder: Path, *, resume: bool) -> Path | None:
    path = folder / "split.csv"
    return path if resume and path.is_file() else None


def _target(folder: Path, output: Folder | None, *, several: bool = False) -> tuple[Path | None, Any]:
    """Return the folder of the results (`None`: the run's), and what deletes a temporary one."""
    if output is not None or (bundle_folder(folder) != folder and not several):
        return None if output is None else Path(output), None
    kept = Scratch()
    return kept.path, kept
