"""Run a command of covid-xray inside the test, as the shell would see it."""

import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner, Result

from covid_xray.cli import app, main
from covid_xray.errors import CovidXrayError


@dataclass(frozen=True)
class Ran:
    """Exit code and both streams, as bytes: file names need not be text."""

    code: int
    out: bytes
    err: bytes


def run(capture: pytest.CaptureFixture[bytes], *arguments: object) -> Ran:
    before, sys.argv = sys.argv, ["covid-xray", *map(str, arguments)]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.argv = before
    streams = capture.readouterr()
    return Ran(code, streams.out, streams.err)


SMALL = ["image_size=32", "blocks=[8,16]", "convolutions=1", "dense=[32]", "batch_size=8", "learning_rate=0.003"]


SETTINGS = [part for text in [*SMALL, "initializer=he_normal"] for part in ("--set", text)]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(kind: type[CovidXrayError], *arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, kind), (result.exception, result.output)
    return result.exception.message
