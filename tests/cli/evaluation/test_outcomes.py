"""The command outcomes writes its table of facts and its page."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from covid_xray.errors import BadManifest
from covid_xray.evaluation.clinical import outcomes as module
from support.bundles import grey, make_bundle
from support.commands import refused
from support.drawing import png
from support.figures import without_n


def test_the_command_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPONENTS", 2)
    bundle = make_bundle(tmp_path / "bundle")
    rows = []
    for number in range(50):
        (tmp_path / f"{number}.png").write_bytes(png(grey("covid", seed=number)))
        rows.append((f"{number}.png", "covid", f"p{number}", "here", "YN"[number % 2], str(40 + 20 * (number % 2))))
    columns = ["image", "label", "patient_id", "source", "went_icu", "age"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "t.csv", index=False)
    command = ["outcomes", "--data", tmp_path / "t.csv", "--bundle", bundle, "-o", tmp_path / "o", "--rounds", "20"]
    ran = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert ran.exit_code == 0
    assert "intensive care: 25 of 50 patients, AUROC" in ran.output
    facts = json.loads((tmp_path / "o" / "outcomes.json").read_text(encoding="utf-8"))
    assert without_n(facts) == []
    assert facts["outcomes"]["went_icu"]["models"]["clinical"]["auroc"]["value"] == 1.0
    assert "no published severity scores" in (tmp_path / "o" / "outcomes.md").read_text(encoding="utf-8")


def test_a_table_without_outcomes_is_refused_before_the_network_runs(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(grey("covid")))
    (tmp_path / "t.csv").write_text("image,label,age,went_icu\na.png,covid,40,\n")
    message = refused(BadManifest, "outcomes", "--data", tmp_path / "t.csv", "-o", tmp_path / "o")
    assert "states no outcome. It needs at least one of the columns went_icu, intubated" in message
    assert not (tmp_path / "o").exists()
