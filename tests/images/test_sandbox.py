"""A decoder in a child may hang, eat memory or die: the parent goes on, and says which it was."""

import gc
import os
import signal
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from covid_xray.config import Limits
from covid_xray.errors import BadImage, CovidXrayError
from covid_xray.images import sandbox
from covid_xray.images.decode import decode
from covid_xray.images.sandbox import decode_limited
from support import drawing

FILES = {
    "png": drawing.png(drawing.picture()),
    "16-bit png": drawing.png(drawing.picture(bits=16)),
    "jpeg": drawing.jpeg(drawing.picture()),
    "dicom": drawing.dicom(drawing.picture(bits=12), ViewPosition="PA", PixelSpacing=[0.1, 0.2]),
}
LARGE = drawing.png(np.random.default_rng(0).integers(0, 256, (3000, 3000)).astype(np.uint8))


def code_of(data: bytes, **limits: float) -> str:
    with pytest.raises(BadImage) as refusal:
        decode_limited(data, limits=Limits(**limits))
    return refusal.value.code


@pytest.fixture
def pool() -> sandbox._Pool:
    return sandbox._pool()


@pytest.mark.parametrize("name", FILES)
def test_same_radiograph_as_in_this_process(name: str) -> None:
    here, there = decode(FILES[name]), decode_limited(FILES[name])
    assert np.array_equal(here.pixels, there.pixels)
    assert (here.bits, here.source, here.pixels.dtype) == (there.bits, there.source, there.pixels.dtype)
    assert there.pixels.flags.writeable


def test_same_refusals_as_in_this_process(tmp_path) -> None:
    for data in (b"", b"junk", FILES["png"][:-1], FILES["dicom"][:-9], FILES["jpeg"][:200]):
        with pytest.raises(BadImage) as here:
            decode(data)
        with pytest.raises(BadImage) as there:
            decode_limited(data)
        assert (here.value.code, here.value.message) == (there.value.code, there.value.message)
    with pytest.raises(BadImage) as missing:
        decode_limited(tmp_path / "missing.png")
    assert missing.value.code == "unreadable-file"
    assert code_of(FILES["png"], side=50) == "too-many-pixels"


def test_children_live_on(pool: sandbox._Pool) -> None:
    decode_limited(FILES["png"])
    before = {worker.process.pid for worker in pool.idle}
    for _ in range(5):
        decode_limited(FILES["jpeg"])
        assert code_of(b"junk") == "not-an-image"
    assert {worker.process.pid for worker in pool.idle} == before


def test_slow_decoders_are_ended(pool: sandbox._Pool) -> None:
    decode_limited(FILES["png"])
    assert code_of(LARGE, decode_seconds=0.005) == "decode-timeout"
    assert all(worker.process.poll() is None for worker in pool.idle)
    assert decode_limited(LARGE).pixels.shape == (3000, 3000)


def test_memory_is_limited_and_the_next_image_is_well() -> None:
    assert code_of(LARGE, decode_bytes=4 << 20) == "decode-memory"
    assert decode_limited(LARGE).pixels.shape == (3000, 3000)


def test_memory_limit_holds_for_what_a_bomb_inflates_to() -> None:
    """8000 x 5000 pixels of 16 bits in a small file: allowed by its header, too much for 64 MiB."""
    rows = zlib.compress(bytes(5000 * (1 + 2 * 8000)), 9)
    bomb = drawing.raw_png(
        drawing.header_chunk(8000, 5000, depth=16), drawing.chunk(b"IDAT", rows), drawing.chunk(b"IEND", b"")
    )
    assert len(bomb) < 1 << 20
    assert code_of(bomb, decode_bytes=64 << 20) == "decode-memory"


def die_at_work(pool: sandbox._Pool, blow: signal.Signals) -> threading.Timer:
    """The child that is next in turn gets the signal a moment after it was given an image."""
    decode_limited(FILES["png"])
    worker = pool.idle[-1]
    os.kill(worker.process.pid, signal.SIGSTOP)  # so that it is at work, not idle, when it dies
    killer = threading.Timer(
        0.2, lambda: (os.kill(worker.process.pid, blow), os.kill(worker.process.pid, signal.SIGCONT))
    )
    killer.start()
    return killer


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_dies_once_is_followed_by_a_fresh_one(pool: sandbox._Pool, blow: signal.Signals) -> None:
    killer = die_at_work(pool, blow)
    assert np.array_equal(decode_limited(FILES["png"]).pixels, decode(FILES["png"]).pixels)
    killer.join()


def test_a_child_that_used_up_its_time_is_not_followed(pool: sandbox._Pool) -> None:
    killer = die_at_work(pool, signal.SIGXCPU)
    assert code_of(FILES["png"]) == "decode-timeout"
    killer.join()
    assert decode_limited(FILES["png"]).bits == 8


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Children whose decoder notes each image and dies of one mark in its bytes; yields the notes."""
    notes = tmp_path / "notes"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, PIL.Image as I\n"
        "whole = I.open\n"
        "def dies(stream, *a, **k):\n"
        f"    open({str(notes)!r}, 'a').write('%d\\n' % os.getpid())\n"
        "    if b'POISON' in stream.getvalue(): os.abort()\n"
        "    return whole(stream, *a, **k)\n"
        "I.open = dies\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sandbox._pool().close()
    yield notes
    sandbox._pool().close()


def test_a_poison_image_costs_three_fresh_children_and_says_so(deadly: Path) -> None:
    poison = FILES["png"][:-12] + drawing.chunk(b"tEXt", b"k\0POISON") + FILES["png"][-12:]
    with pytest.raises(BadImage, match="crashed the decoder in 3 of 3 tries") as refusal:
        decode_limited(poison)
    assert refusal.value.code == "decode-crashed"
    assert len(set(deadly.read_text().split())) == sandbox.TRIES == 3, "each in a process of its own"
    assert decode_limited(FILES["png"]).bits == 8


def test_what_is_refused_is_not_tried_again(deadly: Path) -> None:
    torn = drawing.raw_png(drawing.header_chunk(40, 30), drawing.chunk(b"IDAT", b"junk"), drawing.chunk(b"IEND", b""))
    for data in (torn, torn):
        assert code_of(data) == "decoder-failed"
    assert len(deadly.read_text().split()) == 2
    assert code_of(LARGE, decode_seconds=0.005) == "decode-timeout"
    assert code_of(LARGE, decode_bytes=4 << 20) == "decode-memory"
    assert len(deadly.read_text().split()) <= 4


def test_no_fresh_child_when_the_time_is_used_up(pool: sandbox._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def slow_death(worker: sandbox._Worker, data: bytes, *, limits: Limits) -> None:
        tries.append(worker)
        time.sleep(0.2)
        os.kill(worker.process.pid, signal.SIGKILL)
        raise EOFError

    monkeypatch.setattr(sandbox._Worker, "decode", slow_death)
    with pytest.raises(BadImage) as refusal:
        decode_limited(FILES["png"], limits=Limits(decode_seconds=0.1))
    assert refusal.value.code == "decode-crashed"
    assert len(tries) == 1
    assert "tries" not in refusal.value.message


def test_child_that_died_while_idle_is_replaced(pool: sandbox._Pool) -> None:
    decode_limited(FILES["png"])
    for worker in pool.idle:
        worker.process.kill()
        worker.process.wait()
    assert decode_limited(FILES["png"]).bits == 8


def test_child_that_stands_still_is_ended(pool: sandbox._Pool) -> None:
    decode_limited(FILES["png"])
    os.kill(pool.idle[-1].process.pid, signal.SIGSTOP)
    begin = time.monotonic()
    assert code_of(FILES["png"], decode_seconds=0.3) == "decode-timeout"
    assert time.monotonic() - begin < 5


def test_many_threads_share_few_children(pool: sandbox._Pool) -> None:
    names = list(FILES) * 15
    expected = {name: decode(data).pixels for name, data in FILES.items()}
    with ThreadPoolExecutor(12) as threads:
        for name, found in zip(names, threads.map(lambda name: decode_limited(FILES[name]), names), strict=True):
            assert np.array_equal(found.pixels, expected[name])
    assert 1 <= len(pool.idle) <= sandbox.MAX_WORKERS


def test_worn_children_are_replaced(pool: sandbox._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_RECYCLE_AFTER", 1)
    decode_limited(FILES["png"])
    first = {worker.process.pid for worker in pool.idle}
    decode_limited(FILES["png"])
    assert not first or {worker.process.pid for worker in pool.idle} != first


def test_no_child_and_no_pipe_is_left_behind() -> None:
    own = sandbox._Pool(1)
    own.decode(FILES["png"], limits=Limits())
    process = own.idle[0].process
    own.close()
    assert process.poll() is not None
    assert process.stdin.closed
    assert process.stdout.closed
    del own, process
    gc.collect()  # an unclosed pipe or process would warn, and warnings are errors


def test_a_child_that_does_not_start_is_no_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/true")
    with pytest.raises(CovidXrayError) as error:
        sandbox._Pool(1).decode(FILES["png"], limits=Limits())
    assert not isinstance(error.value, BadImage)
