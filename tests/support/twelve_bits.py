"""A JPEG Extended encoder of 12 bits (ITU-T T.81, process 4), since no package that we may use writes such streams.

Plain on purpose: quantisation by 1 and Huffman codes that are all equally long, so that only the DCT rounds.
"""

import struct

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

ZIGZAG = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[1 - sum(at) % 2]))
SIZES = range(16)  # bits of a DC difference
RUNS = [0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 16))]  # end, 16 zeros, run and size
WIDTHS = {0: 5, 1: 8}  # of a code of the DC and of the AC table; the code of all ones stays free, as T.81 wants


def encode(pixels: NDArray[np.uint16]) -> bytes:
    """H x W, 0..4095, as a grey JPEG stream; it decodes to within 1 grey level."""
    height, width = pixels.shape
    padded = np.pad(pixels.astype(float) - 2048, ((0, -height % 8), (0, -width % 8)), mode="edge")
    bits, before = [], 0
    for y in range(0, len(padded), 8):
        for x in range(0, padded.shape[1], 8):
            block = np.rint(dctn(padded[y : y + 8, x : x + 8], norm="ortho")).astype(int)
            numbers = [int(block[at]) for at in ZIGZAG]
            bits += _coded(numbers[0] - before, table=0, symbols=SIZES)
            before = numbers[0]
            bits += _coded_rest(numbers[1:])
    return b"".join([b"\xff\xd8", _quantisation(), _frame(height, width), _tables(), _scan("".join(bits)), b"\xff\xd9"])


def _coded(number: int, *, table: int, symbols: range | list[int], run: int = 0) -> list[str]:
    size = abs(number).bit_length()
    code = format(symbols.index(run << 4 | size), f"0{WIDTHS[table]}b")
    value = number if number > 0 else number + (1 << size) - 1
    return [code, format(value, f"0{size}b") if size else ""]


def _coded_rest(numbers: list[int]) -> list[str]:
    out, run = [], 0
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    for number in numbers:
        if number == 0:
            run += 1
            continue
        out += ["".join(_coded(0, table=1, symbols=RUNS, run=15))] * (run // 16)
        out += _coded(number, table=1, symbols=RUNS, run=run % 16)
        run = 0
    return out if len(numbers) == 63 else [*out, *_coded(0, table=1, symbols=RUNS)]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _quantisation() -> bytes:
    return _segment(0xDB, bytes([0, *[1] * 64]))


def _frame(height: int, width: int) -> bytes:
    return _segment(0xC1, struct.pack(">BHHB3B", 12, height, width, 1, 1, 0x11, 0))


def _tables() -> bytes:
    body = b""
    for table, symbols in ((0, SIZES), (1, RUNS)):
        counts = [len(symbols) if width == WIDTHS[table] else 0 for width in range(1, 17)]
        body += bytes([table << 4, *counts, *symbols])
    return _segment(0xC4, body)


def _scan(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return _segment(0xDA, bytes([1, 1, 0x00, 0, 63, 0])) + coded.replace(b"\xff", b"\xff\0")
