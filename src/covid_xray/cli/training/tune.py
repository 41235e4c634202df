"""Define the command `tune`: search for better training settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import (
    Data,
    Images,
    SettingList,
    SplitFile,
    folder_option,
    out,
    print_next,
    resumable,
    stages,
)
from covid_xray.cli.selection import Duplicates, Labels, Where
from covid_xray.cli.training.train import quiet_tensorflow, settings_of, split_for


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(selection.reads_table(tune))


def tune(
    data: Data,
    output: Annotated[Path, folder_option("Folder of the search; a run folder for each trial.")],
    trials: Annotated[int, typer.Option("--trials", min=2, help="How many settings are tried.")] = 12,
    space: Annotated[
        Path | None,
        typer.Option("--space", help="YAML of key: {loguniform|uniform|choice: [...]}; default: a small one."),
    ] = None,
    images: Images = None,
    model: Annotated[
        str | None, typer.Option("--model", help="vgg, efficientnet_lite0 or a Keras application.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most this many epochs a trial.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings of the first trial, YAML or TOML.")] = None,
    settings: SettingList = None,
    split: SplitFile = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster: auto or HOST:PORT; OUTPUT must be there too.")
    ] = None,
    cores: Annotated[int, typer.Option("--cores", min=1, help="Cores of one trial.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished search in OUTPUT.")] = False,
) -> None:
    """Search for better settings on Ray: many short trainings, the worse ones stopped early (ASHA)."""
    from covid_xray.cluster import ray_session, search_space
    from covid_xray.cluster.extras import require_module

    ray_session.check_reachable(address)
    dimensions = search_space.read_space(space)
    chosen = settings_of(output, config=config, overrides=settings, model=model, epochs=epochs, resume=False)
    require_module("ray.tune")
    quiet_tensorflow()
    from covid_xray.cluster.tune import check_folder, search
    from covid_xray.data.manifest.manifest import require_classes

    check_folder(output, resume=resume)  # before an hour of decoding
    manifest = selection.read(data, images=images, labels=label, where=where, duplicates=duplicates)
    require_classes(manifest)
    kept = output / "split.csv"
    parts = split_for(manifest, chosen, given=split or (kept if resume and kept.is_file() else None))
    how: dict[str, Any] = {"space": dimensions, "trials": trials, "resume": resume, "address": address, "cores": cores}
    with resumable(), stages() as progress:
        rows = search(manifest, parts, settings=chosen, out=output, progress=progress, **how)
    _print(rows, output)
    print_next(
        "train", data=data, images=images, label=label, where=where, duplicates=duplicates, split=output / "split.csv",
        config=output / "best.yaml", output=output / "best", **selection.data_options(),
    )  # fmt: skip


def _print(rows: list[dict[str, object]], output: Path) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, caption="chosen on the validation part", caption_justify="left")
    names = [name for name in rows[0] if name not in ("best_epoch", "val_accuracy")]  # they are in the file
    for name in names:
        table.add_column(name)
    for row in rows[:10]:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    out.print(table)
    out.line(f"best settings: {output / 'best.yaml'}; table and picture: {output / 'tune.md'}")
