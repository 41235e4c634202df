"""Run the command `covid-xray`, and turn the exceptions of `errors.py` into messages and exit codes.

`app` (made in `commands.py`) is the typer application. Each command parses, calls one function and prints; heavy
imports stay inside it.
"""

import sys
from typing import TYPE_CHECKING, Any

from covid_xray.cli.inference import predict_args, predict_launch
from covid_xray.errors import CovidXrayError

if TYPE_CHECKING:
    from covid_xray.cli.commands import app as app


def __getattr__(name: str) -> Any:
    if name == "app":
        from covid_xray.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; exit codes: 0 ok, 2 usage, 3 input refused, 4 partly done, 1 anything else."""
    try:
        predict_args.refuse_empty(sys.argv[1:])
        predict_args.refuse_several(sys.argv[1:])
        job = predict_args.parse_plain(sys.argv[1:])
        if job:
            predict_launch.predict(job)
        else:
            from covid_xray.cli import app

            app()
    except CovidXrayError as error:
        print(f"covid-xray: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder without permission; what was there before is intact
        where = f": {error.filename}" if error.filename else ""
        print(f"covid-xray: A file cannot be read or written: {error.strerror}{where}.", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("covid-xray: stopped", file=sys.stderr)
        sys.exit(130)
