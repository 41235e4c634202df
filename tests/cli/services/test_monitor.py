"""The command monitor reads a store or results, prints words or JSON, and ends with 4 while there is an alarm."""

import json
from pathlib import Path

import numpy as np
import pytest

from covid_xray.errors import InputRefused, UsageError
from covid_xray.inference.drift.checks import Result
from covid_xray.inference.drift.reference import Observation, Reference
from covid_xray.store.database import Database, sqlite_url
from covid_xray.store.drift import rows
from covid_xray.store.drift.rows import Check
from support.commands import call, refused

MODEL = "a" * 64


def archive(folder: Path, *, shift: float = 0.0, model: str = MODEL) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(round(shift))
    images = [
        Observation("normal", float(rng.random()), None, None, (), rng.normal(shift, 1, 6), rng.normal(shift, 1, 3))
        for _ in range(100)
    ]
    Reference.draw(images, model_sha256=model).write(folder / "drift.json")
    return folder


def test_a_store_without_and_with_an_alarm(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "studies.sqlite"))
    rows.add(database, [Observation("normal")], model_sha256=MODEL)
    found = call("monitor", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    assert "are being collected to compare with; there are 1." in json.loads(found.stdout)["words"]
    result = Result("embeddings", "commissioning", 9.0, 0.0001, 1.25)
    rows.add_check(database, Check(25, rows.today(), 25, 0, 0, "appearance", (result,)), model_sha256=MODEL)
    database.close()
    found = call("monitor", tmp_path, "--json")
    facts = json.loads(found.stdout)
    assert found.exit_code == 4
    assert (facts["alarm"], facts["images"], facts["reference"]) == ("appearance", 25, "commissioning")
    assert facts["newest"][0]["alarm"]
    assert facts["counts"]["answer"] == {str(rows.today()): {"normal": 1}}
    words = call("monitor", tmp_path)
    assert words.exit_code == 4
    assert "ALARM  embeddings against commissioning: 1.25 of the limit, p = 0.0001" in words.stdout


def test_results_are_compared_with_others(tmp_path: Path) -> None:
    here, same, other = archive(tmp_path / "a"), archive(tmp_path / "b"), archive(tmp_path / "c", shift=2.0)
    alone = call("monitor", here)
    assert alone.exit_code == 0
    assert "nothing to compare them with" in alone.stdout
    assert call("monitor", here, "--against", same).exit_code == 0
    found = call("monitor", other, "--against", here, "--json")
    assert found.exit_code == 4
    assert json.loads(found.stdout)["alarm"] == "appearance"


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No store and no results" in refused(InputRefused, "monitor", tmp_path / "empty")
    here, foreign = archive(tmp_path / "a"), archive(tmp_path / "b", model="b" * 64)
    assert "different networks" in refused(UsageError, "monitor", here, "--against", foreign)
    with pytest.raises(InputRefused):
        Reference.read(tmp_path / "empty")
