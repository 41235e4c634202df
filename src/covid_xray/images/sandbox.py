"""Decode untrusted files in child processes with time and memory limits.

A decoder that hangs, exhausts memory or crashes gives a `BadImage`. The children are reused; results return as JSON
and raw pixels, never as pickles, since a compromised child must not compromise its parent.
"""

import atexit
import importlib
import json
import math
import os
import resource
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from covid_xray.errors import BadImage, CovidXrayError
from covid_xray.images.decode import decode, read_source
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.limits import Limits

MAX_WORKERS = 4
TRIES = 3  # a child may also die of an earlier image, or because the machine is short of memory
_RECYCLE_AFTER = 500  # images; leaks of decoders count against the memory limit
_START_SECONDS = 60.0
_READY = b"ready\n"
_CRASHED = "decode-crashed"
_SIZES = struct.Struct(">II")  # bytes of JSON, bytes of payload


def decode_limited(source: Path | bytes, *, limits: Limits = Limits()) -> Radiograph:  # noqa: B008
    """Decode a file or bytes in a child process within `limits.decode_seconds` and `decode_bytes`. Thread-safe.

    Up to `MAX_WORKERS` images are decoded at once; waiting does not count as time. When a child dies, a new one tries
    again, up to `TRIES` in all within the time limit; refusals, timeouts and memory errors are not retried.

    Raises:
        BadImage: as `decode`; also `decode-timeout`, `decode-memory`, and `decode-crashed` with the number of tries.
        CovidXrayError: the child process does not start.
    """
    return _pool().decode(read_source(source, limits=limits), limits=limits)


class _Worker:
    """One child process and the pipes to it."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.done = 0
        self.process = subprocess.Popen(  # -P: a module in the working folder must not stand in for ours
            [sys.executable, "-P", "-m", "covid_xray.images.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        try:
            ready = self._receive(len(_READY), deadline=time.monotonic() + _START_SECONDS)
        except (EOFError, TimeoutError):
            ready = bytearray()
        if ready != _READY:
            self.close()
            raise CovidXrayError("The decoding process does not start.")

    def decode(self, data: bytes, *, limits: Limits) -> Radiograph:
        deadline = time.monotonic() + limits.decode_seconds
        self.done += 1
        _send(self.process.stdin, asdict(limits), data)
        head, payload = _SIZES.unpack(self._receive(_SIZES.size, deadline=deadline))
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


def _send(pipe: Any, head: dict[str, Any], payload: bytes | memoryview) -> None:
    text = json.dumps(head).encode()
    for part in (_SIZES.pack(len(text), len(payload)), text, payload):
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


def serve() -> None:
    """Run the child: read limits and bytes and answer them until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and then closes the pipe
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        for standard in (0, 1, 2):  # C decoders print to any of them
            os.dup2(nowhere.fileno(), standard)
    _warm_up()
    mapped = _mapped_bytes()
    outbox.write(_READY)
    while sizes := inbox.read(_SIZES.size):
        head, payload = _SIZES.unpack(sizes)
        limits = Limits(**json.loads(inbox.read(head)))
        if not _answer(inbox, outbox, payload, limits=limits, mapped=mapped):
            return


def _answer(inbox: BinaryIO, outbox: BinaryIO, size: int, *, limits: Limits, mapped: int) -> bool:
    """Decode one image under its limits; return whether the process can be used again."""
    data = inbox.read(size)
    _restrict(limits, mapped=mapped + size)
    try:
        radiograph = decode(data, limits=limits)
        head = {"shape": radiograph.pixels.shape, "bits": radiograph.bits, "source": asdict(radiograph.source)}
        _send(outbox, head, np.ascontiguousarray(radiograph.pixels).data.cast("B"))
    except BadImage as error:
        _send(outbox, {"code": error.code, "message": error.message}, b"")
        return error.code != "decode-memory"
    return True


def _warm_up() -> None:
    """Import the decoders, so that this does not count against an image's time and memory."""
    plugins = ("Png", "Jpeg", "Tiff", "Bmp", "Gif", "WebP", "Jpeg2K")
    rooms = ("covid_xray.images.raster", "covid_xray.images.arrays", "pydicom.pixels")
    for module in (*rooms, *(f"PIL.{plugin}ImagePlugin" for plugin in plugins)):
        importlib.import_module(module)
    importlib.import_module("covid_xray.images.gdcm_codec").silence()


def _mapped_bytes() -> int:
    """Return the address space in use before any image; 0 where the system does not state it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123
            return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _restrict(limits: Limits, *, mapped: int) -> None:
    if mapped:
        resource.setrlimit(resource.RLIMIT_AS, (mapped + limits.decode_bytes, resource.RLIM_INFINITY))
    # In case the parent, which enforces the time limit, has died. CPU time counts from the start of the process.
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + limits.decode_seconds) + 1, resource.RLIM_INFINITY))


if __name__ == "__main__":
    serve()
