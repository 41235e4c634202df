"""Decode untrusted files in child processes with time and memory limits.

A decoder that hangs, exhausts memory or crashes gives a `BadImage`. The children are reused; results return as JSON
and raw pixels, never as pickles, since a compromised child must not compromise its parent.
"""

import atexit
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from covid_xray.errors import BadImage, CovidXrayError, InputRefused
from covid_xray.files import read_bounded
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.limits import Limits

MAX_WORKERS = 4
TRIES = 3  # a child may also die of an earlier image, or because the machine is short of memory
_RECYCLE_AFTER = 500  # images; leaks of decoders count against the memory limit
_START_SECONDS = 60.0
READY = b"ready\n"
_CRASHED = "decode-crashed"
SIZES = struct.Struct(">II")  # bytes of JSON, bytes of payload


def decode_limited(source: Path | bytes, *, limits: Limits = Limits()) -> Radiograph:  # noqa: B008
    """Decode a file or bytes in a child process within `limits.decode_seconds` and `decode_bytes`. Thread-safe.

    Up to `MAX_WORKERS` images are decoded at once; waiting does not count as time. When a child dies, a new one tries
    again, up to `TRIES` in all within the time limit; refusals, timeouts and memory errors are not retried.

    Raises:
        BadImage: as `decode`; also `decode-timeout`, `decode-memory`, and `decode-crashed` with the number of tries.
        CovidXrayError: the child process does not start.
    """
    return _pool().decode(read_source(source, limits=limits), limits=limits)


def read_source(source: Path | bytes, *, limits: Limits) -> bytes:
    """Return the bytes of a file or `source` itself, at most `limits.upload_bytes`. Raises `BadImage`."""
    too_large = BadImage(f"The file is larger than {limits.upload_bytes:,} bytes.", code="too-large")
    if not isinstance(source, Path):
        if len(source) > limits.upload_bytes:
            raise too_large
        return bytes(source)
    try:
        if not source.is_file():  # a pipe or a device could block or never end
            raise BadImage("No such regular file.", code="unreadable-file")
        return read_bounded(source, limit=limits.upload_bytes)
    except OSError:
        raise BadImage("The file cannot be read.", code="unreadable-file") from None
    except BadImage:
        raise
    except InputRefused:
        raise too_large from None


class _Worker:
    """One child process and the pipes to it."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.done = 0
        self.process = subprocess.Popen(  # -P: a module in the working folder must not stand in for ours
            [sys.executable, "-P", "-m", "covid_xray.images.decoding_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        try:
            ready = self._receive(len(READY), deadline=time.monotonic() + _START_SECONDS)
        except (EOFError, TimeoutError):
            ready = bytearray()
        if ready != READY:
            self.close()
            raise CovidXrayError("The decoding process does not start.")

    def decode(self, data: bytes, *, limits: Limits) -> Radiograph:
        deadline = time.monotonic() + limits.decode_seconds
        self.done += 1
        send(self.process.stdin, asdict(limits), data)
        head, payload = SIZES.unpack(self._receive(SIZES.size, deadline=deadline))
        # Reading the answer does not count as the decoder's time.
        deadline = max(deadline, time.monotonic() + limits.decode_seconds)
        if head > 1 << 16 or payload > 2 * limits.pixels:
            raise EOFError  # longer than any valid answer
        answer = json.loads(self._receive(head, deadline=deadline))
        return _radiograph(answer, self._receive(payload, deadline=deadline))

    def crash(self) -> BadImage:
        """End the process and return the error for the way it ended."""
        self.close(wait=1.0)
        return _timeout() if self.process.returncode == -signal.SIGXCPU else _crashed(1)

    def close(self, *, wait: float = 0.0) -> None:
        """Kill the process unless it ends by itself within `wait` seconds."""
        try:
            self.process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _receive(self, size: int, *, deadline: float) -> bytearray:
        pipe = self.process.stdout
        assert pipe is not None
        received, done = bytearray(size), 0  # filled in place: pixels of a full-size film are 30 MB
        with selectors.DefaultSelector() as selector, memoryview(received) as view:
            selector.register(pipe, selectors.EVENT_READ)
            while done < size:
                if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                part = os.readv(pipe.fileno(), [view[done : done + (1 << 20)]])
                if not part:
                    raise EOFError
                done += part
        return received


class _Pool:
    """A bounded pool of workers."""

    def __init__(self, size: int) -> None:
        self.pid = os.getpid()
        self.turns = threading.BoundedSemaphore(size)
        self.idle: list[_Worker] = []  # append and pop of a list are atomic
        atexit.register(self.close)

    def decode(self, data: bytes, *, limits: Limits) -> Radiograph:
        with self.turns:
            spent = 0.0  # seconds of decoding; starting a child does not count
            for tried in range(1, TRIES + 1):
                worker, began = self._borrow() if tried == 1 else _Worker(), time.monotonic()
                try:
                    return self._try(worker, data, limits=limits)
                except BadImage as error:
                    spent += time.monotonic() - began
                    if error.code != _CRASHED:
                        raise
                    if spent > limits.decode_seconds:
                        break
        raise _crashed(tried)

    def _try(self, worker: _Worker, data: bytes, *, limits: Limits) -> Radiograph:
        try:
            radiograph = worker.decode(data, limits=limits)
        except BadImage as error:
            self._give_back(worker, exhausted=error.code == "decode-memory")
            raise
        except TimeoutError:
            worker.close()
            raise _timeout() from None
        except (EOFError, OSError, ValueError, TypeError, KeyError):  # it died, or its answer is invalid
            raise worker.crash() from None
        except BaseException:
            worker.close()
            raise
        self._give_back(worker)
        return radiograph

    def close(self) -> None:
        if os.getpid() != self.pid:  # in a fork the workers belong to the parent
            return
        while self.idle:
            self.idle.pop().close()

    def _borrow(self) -> _Worker:
        while self.idle:
            worker = self.idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.close()
        return _Worker()

    def _give_back(self, worker: _Worker, *, exhausted: bool = False) -> None:
        if exhausted or worker.done >= _RECYCLE_AFTER:
            worker.close()
        else:
            self.idle.append(worker)


_POOLS: dict[int, _Pool] = {}  # by process id, since a fork must not use its parent's pipes
_POOLS_LOCK = threading.Lock()


def _pool() -> _Pool:
    with _POOLS_LOCK:
        if os.getpid() not in _POOLS:
            _POOLS[os.getpid()] = _Pool(min(MAX_WORKERS, os.cpu_count() or 1))
        return _POOLS[os.getpid()]


def _crashed(tries: int) -> BadImage:
    repeated = f" in {tries} of {tries} tries" if tries > 1 else ""
    return BadImage(f"The image crashed the decoder{repeated}.", code=_CRASHED)


def _timeout() -> BadImage:
    return BadImage("Decoding the image took longer than the time limit.", code="decode-timeout")


def send(pipe: Any, head: dict[str, Any], payload: bytes | memoryview) -> None:
    """Write one message to a pipe: the sizes of both parts, `head` as JSON, `payload`."""
    text = json.dumps(head).encode()
    for part in (SIZES.pack(len(text), len(payload)), text, payload):
        left = memoryview(part)
        while left:
            left = left[pipe.write(left) :]


def _radiograph(answer: dict[str, Any], payload: bytearray) -> Radiograph:
    if "code" in answer:
        raise BadImage(str(answer["message"]), code=str(answer["code"]))
    bits = int(answer["bits"])
    height, width = answer["shape"]
    flat = np.frombuffer(payload, np.uint8)
    pixels = flat.reshape(height, width) if bits == 8 else flat.view(np.uint16).reshape(height, width)
    facts: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in answer["source"].items()
    }
    source = ImageSource(**facts)
    return Radiograph(pixels, bits=bits, source=source)
