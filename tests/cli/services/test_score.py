"""The command score refuses options that do not go together, and says where its rows lie."""

from pathlib import Path

import pytest

from support.bundles import GREYS, grey, make_bundle
from support.commands import call, run
from support.drawing import png


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "abacus"], "'abacus' is not one of"),
        (["--precision", "float8"], "'float8' is not one of"),
        (["--address", "auto"], "--engine ray"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], message: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "score", tmp_path, "-o", tmp_path / "out", *options)
    assert ran.code == 2
    assert message in ran.err.decode()
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
