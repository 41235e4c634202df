"""Coverage-guided fuzzing of the opener: `python tests/hostile/fuzz_decode.py CORPUS_DIR -max_total_time=600`.

Needs `pip install atheris`, which is in no extra. Writes one good file of every kind into CORPUS_DIR first. Anything
but a radiograph or `BadImage` ends the run, and the file that did it is left behind as `crash-...`: make it a bomb in
`tests/bombs.py`.
"""

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

with atheris.instrument_imports(include=["covid_xray", "pydicom", "PIL"]):
    from test_corpora import GOOD, good

    from covid_xray.errors import BadImage
    from covid_xray.images.decode import decode


def one_input(data: bytes) -> None:
    """What the fuzzer calls with every input that it thinks of."""
    try:
        decode(data)
    except BadImage as error:
        if not error.message.endswith("."):
            raise AssertionError("the message is no sentence") from error


def seed(folder: Path) -> None:
    """Put the good files where the fuzzer starts from."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in GOOD:
        (folder / name.replace(" ", "-")).write_bytes(good(name))


def main() -> None:
    """Seed the first folder named on the command line, then fuzz."""
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if not folders:
        raise SystemExit("Give a folder for the corpus.")
    seed(Path(folders[0]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
