"""Decode images in a child process of `covid_xray.images.sandbox`, under its limits."""

import importlib
import json
import math
import os
import resource
import signal
from dataclasses import asdict
from typing import BinaryIO

import numpy as np

from covid_xray.errors import BadImage
from covid_xray.images import gdcm_codec
from covid_xray.images.decode import decode
from covid_xray.images.sandbox import READY, SIZES, send
from covid_xray.limits import Limits


def serve() -> None:
    """Run the child: read limits and bytes and answer them until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and then closes the pipe
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        for standard in (0, 1, 2):  # C decoders print to any of them
            os.dup2(nowhere.fileno(), standard)
    gdcm_codec.allow()
    _warm_up()
    mapped = _mapped_bytes()
    outbox.write(READY)
    while sizes := inbox.read(SIZES.size):
        head, payload = SIZES.unpack(sizes)
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
        send(outbox, head, np.ascontiguousarray(radiograph.pixels).data.cast("B"))
    except BadImage as error:
        send(outbox, {"code": error.code, "message": error.message}, b"")
        return error.code != "decode-memory"
    return True


def _warm_up() -> None:
    """Import the decoders, so that this does not count against an image's time and memory."""
    plugins = ("Png", "Jpeg", "Tiff", "Bmp", "Gif", "WebP", "Jpeg2K")
    rooms = ("covid_xray.images.raster", "covid_xray.images.arrays", "pydicom.pixels")
    for module in (*rooms, *(f"PIL.{plugin}ImagePlugin" for plugin in plugins)):
        importlib.import_module(module)
    gdcm_codec.silence()


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
