"""Define the command `lr-find`: look for a learning rate before training."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from covid_xray.cli import selection
from covid_xray.cli.console import (
    ConfigFile,
    Data,
    Images,
    SettingList,
    SplitFile,
    folder_option,
    out,
    print_next,
    stages,
)
from covid_xray.cli.selection import Duplicates, Labels, Where
from covid_xray.cli.training.train import Init, LungRun, Model, quiet_tensorflow, settings_of, split_for, with_lungs


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command(name="lr-find")(selection.reads_table(lr_find))


def lr_find(
    data: Data,
    output: Annotated[Path, folder_option("Folder for rates.json, rates.csv and rates.png.")],
    images: Images = None,
    model: Model = None,
    config: ConfigFile = None,
    settings: SettingList = None,
    split: SplitFile = None,
    init: Init = None,
    lungs: LungRun = None,
    label: Labels = None,
    where: Where = None,
    duplicates: Duplicates = None,
    steps: Annotated[int, typer.Option("--steps", min=10, help="Batches, each with a higher rate.")] = 100,
    lowest: Annotated[float, typer.Option("--lowest", help="The first rate.")] = 1e-7,
    highest: Annotated[float, typer.Option("--highest", help="The last rate, where the loss does not diverge.")] = 10.0,
    rule: Annotated[
        Literal["steepest", "minimum"],
        typer.Option(
            "--rule", help="steepest: where the loss falls fastest; minimum: a tenth of the rate of its minimum."
        ),
    ] = "steepest",
) -> None:
    """Raise the learning rate step by step until the loss diverges, and suggest one (Smith 2017). Trains nothing."""
    named = [f"init={json.dumps(init)}"] if init else []
    overrides = [*with_lungs(settings, lungs), *named]
    chosen = settings_of(output, config=config, overrides=overrides, model=model, epochs=None, resume=False)
    quiet_tensorflow()
    from covid_xray.data.manifest.manifest import require_classes
    from covid_xray.training.rates import rate_finder
    from covid_xray.training.train import check_start

    chosen = check_start(chosen, output)  # before an hour of decoding
    manifest = selection.read(data, images=images, labels=label, where=where, duplicates=duplicates)
    require_classes(manifest)
    parts = split_for(manifest, chosen, given=split)
    with stages() as progress:
        curve = rate_finder.search_rates(manifest, parts, settings=chosen, folder=output, progress=progress,
                                         steps=steps, lowest=lowest, highest=highest)  # fmt: skip
    suggestion = rate_finder.write_curve(curve, output, settings=chosen, rule=rule)
    out.line(f"rates: {output / 'rates.png'}, rates.csv, rates.json")
    out.line(rate_finder.describe(curve, rule))
    chosen_by = selection.data_options(data=data, images=images, label=label, where=where, duplicates=duplicates)
    rate = [f"learning_rate={suggestion:.2g}"] if suggestion else []
    print_next("train", **chosen_by, output=output.with_name(f"{output.name}-train"), model=model, config=config,
               split=split, init=init, lungs=lungs, set=[*(settings or ()), *rate])  # fmt: skip
