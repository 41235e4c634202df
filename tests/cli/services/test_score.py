"""The command score refuses options that do not go together, and says where its rows lie."""

from pathlib import Path

import pytest

from covid_xray.errors import UsageError
from support.bundles import GREYS, grey, make_bundle
from support.commands import call, refused
from support.drawing import png


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "abacus"], "--engine"),
        (["--precision", "float8"], "--precision"),
        (["--address", "auto"], "--engine ray with --address"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused(UsageError, "score", tmp_path, "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_scored_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    films = tmp_path / "films"
    films.mkdir()
    for number, label in enumerate(sorted(GREYS)):
        (films / f"{number}.png").write_bytes(png(grey(label, seed=number)))
    bundle = make_bundle(tmp_path / "bundle")
    result = call("score", films, "-o", tmp_path / "out", "--bundle", bundle, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "run.json").is_file()
