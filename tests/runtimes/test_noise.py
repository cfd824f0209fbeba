"""The rules of docs/bundle.md, written a second time in plain Python, against the code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from genx_runtimes.errors import InputError
from genx_runtimes.noise import NoiseStream

TOP = 2**64 - 1
PINNED = [-1.6358767747879028, 0.7764623761177063, -1.884373426437378, -0.18863853812217712]
CASES = [(0, 0), (0, 1), (1, 0), (42, 7), (TOP, 0), (0, TOP), (TOP, TOP), (2**40, 2**50)]


def philox(key: tuple[int, int], index: int) -> Iterator[int]:
    """Yield 64-bit words of Philox4x64-10 (Salmon et al. 2011)."""
    low = 0
    while True:
        low += 1  # incremented before each block
        c = [low, index, 0, 0]
        k = list(key)
        for _ in range(10):
            first = 0xD2E7470EE14C6C93 * c[0]
            second = 0xCA5A826395121157 * c[2]
            c = [
                (second >> 64) ^ c[1] ^ k[0],
                second & TOP,
                (first >> 64) ^ c[3] ^ k[1],
                first & TOP,
            ]
            k = [(k[0] + 0x9E3779B97F4A7C15) & TOP, (k[1] + 0xBB67AE8584CAA73B) & TOP]
        yield from c


def uniforms(seed: int, name: str, index: int) -> Iterator[float]:
    second = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")

    for word in philox((seed, second), index):
        yield (word >> 11) / 2**53


def normals(seed: int, name: str, index: int) -> Iterator[float]:
    stream = uniforms(seed, name, index)
    while True:
        x1, x2 = 2 * next(stream) - 1, 2 * next(stream) - 1
        r2 = x1 * x1 + x2 * x2
        if 0 < r2 < 1:
            f = math.sqrt(-2 * math.log(r2) / r2)
            yield f * x2
            yield f * x1


def take(stream: Iterator[float], count: int) -> list[float]:
    return [next(stream) for _ in range(count)]


@pytest.mark.parametrize(("seed", "index"), CASES)
@pytest.mark.parametrize("name", ["z", "label", "größe"])
def test_the_code_follows_the_document(seed: int, index: int, name: str) -> None:
    stream = NoiseStream(seed, name)
    assert stream.at(index).random_sample(9).tolist() == take(uniforms(seed, name, index), 9)
    got = stream.at(index).standard_normal(21).astype(np.float32)
    expected = np.array(take(normals(seed, name, index), 21)).astype(np.float32)
    assert got.tobytes() == expected.tobytes()


def test_values_that_may_never_change() -> None:
    random = NoiseStream(0, "z").at(0)
    assert random.standard_normal(4).astype(np.float32).tolist() == PINNED


def test_streams_taken_in_turn_do_not_disturb_one_another() -> None:
    a, b = NoiseStream(1, "a"), NoiseStream(1, "b")
    apart = [a.at(i).standard_normal(3).tolist() for i in range(3)]
    in_turn = []
    for i in range(3):
        in_turn.append(a.at(i).standard_normal(3).tolist())
        b.at(i).standard_normal(5)  # an odd number leaves half a pair behind
    assert in_turn == apart


def test_threads_do_not_disturb_one_another() -> None:
    stream = NoiseStream(3, "z")

    def draw(index: int) -> bytes:
        return bytes(stream.at(index).standard_normal(1000).tobytes())

    expected = [draw(i) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(draw, range(64))) == expected


def test_seeds() -> None:
    for seed in (-1, 2**64):
        with pytest.raises(InputError, match=rf"seed is {seed}, expected 0 to 2\^64 - 1"):
            NoiseStream(seed, "z")
