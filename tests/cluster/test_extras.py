import subprocess
import sys

import pytest

from covid_xray.cluster.extras import require_module
from covid_xray.errors import MissingPackage


def test_a_package_that_is_there_is_handed_over() -> None:
    assert require_module("json.decoder").JSONDecoder


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingPackage, match=r"covid-xray\[cluster\]"):
        require_module("a_package_that_is_not_there.part")


def test_what_a_package_misses_itself_is_not_hidden(tmp_path, monkeypatch) -> None:
    (tmp_path / "half_there.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        require_module("half_there")
    assert "half_there" not in sys.modules


def test_scoring_loads_neither_tensorflow_nor_what_trains_and_no_ray_before_it_is_asked_for() -> None:
    code = """
import sys
import covid_xray.cli.services.score, covid_xray.cli.training.tune
import covid_xray.cluster.score, covid_xray.cluster.local_engine, covid_xray.cluster.ray_engine
heavy = {"tensorflow", "keras", "ray", "pyarrow", "pandas", "covid_xray.training"} & set(sys.modules)
sys.exit(", ".join(sorted(heavy)) or 0)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
