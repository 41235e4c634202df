"""Load a server for benchmarks/serving.py: each client thread sends its next image as soon as the last is answered.

python -m benchmarks._support.load_client ADDRESS --path /api/v1/predict --clients 16 --seconds 10 IMAGE ...
"""

import argparse
import http.client
import json
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

BOUNDARY = "------------------------covidxraybenchmark"


def main() -> None:
    """Send images, and print statuses and latencies as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--path", default="/api/v1/predict")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batches", type=int, default=0, help="clients that send batches of four instead")
    args = parser.parse_args()
    images = [path.read_bytes() for path in args.images]
    singles = [multipart([image]) for image in images]
    fours = [multipart(images[start : start + 4]) for start in range(0, len(images), 4)]
    load = Load(args.address, seconds=args.seconds)
    for number in range(args.clients):
        batch = number < args.batches
        load.add("/api/v1/batch" if batch else args.path, fours if batch else singles, number)
    print(json.dumps(load.run()))


def multipart(images: list[bytes]) -> bytes:
    """Build the request body with these images in the field `file`."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{number}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n".encode()
        + image
        + b"\r\n"
        for number, image in enumerate(images)
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Load:
    """Client threads, and the statuses and latencies that they saw."""

    def __init__(self, address: str, *, seconds: float) -> None:
        parts = urlsplit(address)
        self.host, self.port, self.seconds = parts.hostname, parts.port, seconds
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []  # of answers with 200
        self.threads: list[threading.Thread] = []
        self.begin = threading.Event()

    def add(self, path: str, bodies: list[bytes], number: int) -> None:
        """Add a client."""
        self.threads.append(threading.Thread(target=self._client, args=(path, bodies, number), daemon=True))

    def run(self) -> dict:
        """Start all clients; return what they saw."""
        for thread in self.threads:
            thread.start()
        started = time.perf_counter()
        self.until = started + self.seconds
        self.begin.set()
        for thread in self.threads:
            thread.join(timeout=self.seconds + 120)
        return {
            "seconds": time.perf_counter() - started,
            "statuses": dict(self.statuses),
            "hanging": sum(thread.is_alive() for thread in self.threads),
            "latencies": self.latencies,
        }

    def _client(self, path: str, bodies: list[bytes], number: int) -> None:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        self.begin.wait()
        while time.perf_counter() < self.until:
            number += 1
            started = time.perf_counter()
            try:
                connection.request("POST", path, bodies[number % len(bodies)], headers)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
                time.sleep(0.2)
                continue
            self.statuses[str(response.status)] += 1
            if response.status == 200:
                self.latencies.append(time.perf_counter() - started)
            elif response.status != 202:
                time.sleep(min(1.0, float(response.headers.get("Retry-After", 1))))
            else:
                time.sleep(1.0)


if __name__ == "__main__":
    main()
