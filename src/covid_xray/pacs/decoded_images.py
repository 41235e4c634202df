"""Keep the images that were decoded to identify them, until they are classified."""

import threading

from covid_xray.pacs.source_object import Original

MAX_BYTES = 64 << 20  # of pixels: six ordinary plates or two of full size


class DecodedImages:
    """Images by the id of their arrival, at most `limit` bytes of pixels: the oldest make room. Thread-safe."""

    def __init__(self, *, limit: int = MAX_BYTES) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._kept: dict[str, Original] = {}  # in the order in which they came
        self._bytes = 0

    def put(self, identity: str, original: Original) -> None:
        """Keep an image, unless it is larger than all of the room."""
        size = original.radiograph.pixels.nbytes
        with self._lock:
            while self._kept and self._bytes + size > self._limit:
                self._forget(next(iter(self._kept)))
            if size <= self._limit:
                self._kept[identity] = original
                self._bytes += size

    def take(self, identity: str) -> Original | None:
        """Return an image and keep it no longer; `None` where it is not here, and has to be decoded again."""
        with self._lock:
            return self._forget(identity)

    def _forget(self, identity: str) -> Original | None:
        original = self._kept.pop(identity, None)
        self._bytes -= original.radiograph.pixels.nbytes if original else 0
        return original
