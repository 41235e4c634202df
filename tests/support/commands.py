"""Run a command of covid-xray inside the test, as the shell would see it."""

import sys
from dataclasses import dataclass

import pytest

from covid_xray.cli import main


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
