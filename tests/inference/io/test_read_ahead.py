"""A stream is read in threads, in order and not further ahead than it may."""

import itertools
from concurrent.futures import ThreadPoolExecutor

from covid_xray.inference.io.read_ahead import chunks, read_ahead


def test_order_is_kept_and_an_endless_stream_is_read_as_needed() -> None:
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        found = list(itertools.islice(read_ahead(pool, lambda n: n * n, numbers(), depth=3), 5))
    assert found == [0, 1, 4, 9, 16]
    assert len(taken) <= 8


def test_chunks_keep_the_rest() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
