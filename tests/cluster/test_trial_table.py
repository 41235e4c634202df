import csv
from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray.cluster.search_space import DEFAULT
from covid_xray.cluster.trial_table import read_trials, write_report
from covid_xray.config import Training, load, to_yaml

LOSSES = ([0.9, 0.5, 0.7], [0.8], [0.6, 0.4], [])


def folders(root: Path) -> tuple[list[Path], list[Training]]:
    """Four trials: finished, stopped early, finished, failed before an epoch ended."""
    made, settings = [], []
    for number, losses in enumerate(LOSSES):
        folder = root / f"trial-{number}"
        folder.mkdir()
        one = Training(learning_rate=10.0 ** -(number + 1), dropout=0.1 * number)
        (folder / "config.yaml").write_text(to_yaml(one))
        rows = [f"{epoch},{loss},0.{epoch},0.{epoch}" for epoch, loss in enumerate(losses, start=1)]
        if losses:
            (folder / "history.csv").write_text("\n".join(["epoch,val_loss,val_accuracy,val_macro_f1", *rows]) + "\n")
        if number in (0, 2):
            (folder / "manifest.json").write_text("{}")
        made.append(folder)
        settings.append(one)
    return made, settings


def test_trials_are_ranked_by_their_best_epoch_and_say_how_they_ended(tmp_path: Path) -> None:
    rows = read_trials(*folders(tmp_path), DEFAULT)
    assert [row["trial"] for row in rows] == [3, 1, 2, 4]
    assert [row["ended"] for row in rows] == ["finished", "finished", "stopped early", "failed"]
    assert (rows[1]["best_epoch"], rows[1]["epochs"], rows[1]["val_loss"], rows[1]["val_macro_f1"]) == (2, 3, 0.5, 0.2)
    assert rows[0]["learning_rate"] == 1e-3


def test_the_report_names_the_best_settings(tmp_path: Path) -> None:
    made, settings = folders(tmp_path)
    out = tmp_path / "out"
    write_report(read_trials(made, settings, DEFAULT), made, out=out, space=DEFAULT)
    assert load(Training, file=out / "best.yaml") == settings[2]
    page = (out / "tune.md").read_text()
    assert "trial 3" in page
    assert "| 4 |" in page
    with (out / "trials.csv").open(newline="") as stream:
        assert [row["trial"] for row in csv.DictReader(stream)] == ["3", "1", "2", "4"]
    assert np.asarray(Image.open(out / "figures" / "tune.png")).std() > 10
