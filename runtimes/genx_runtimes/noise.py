"""Counter-based random numbers: those of sample `i` depend on the seed, `i` and a stream name only.

Source: docs/bundle.md, "Randomness"; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011 (Philox4x64-10).
"""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache

import numpy as np

from genx_runtimes.errors import InputError

LIMIT = 2**64


class NoiseStream:
    """The random numbers of one named stream under one seed.

    numpy's `RandomState` is used on purpose, not the newer `Generator`: its distributions are
    frozen across numpy releases (NEP 19), those of `Generator` may change.

    Args:
        seed: 0 <= seed < 2^64.
        name: the stream, such as a prior's name.
    """

    def __init__(self, seed: int, name: str) -> None:
        check_seed(seed)
        self._key = (seed, _hash_name(name))

    def at(self, index: int) -> np.random.RandomState:
        """Return the generator of sample `index`.

        All streams of a thread share one generator: it is valid until the next call, of whichever
        stream, in this thread.

        Args:
            index: 0 <= index < 2^64.
        """
        return _own.seek(self._key, index)


class _Generator(threading.local):
    """A thread's one generator: moving it costs a tenth of making one."""

    def __init__(self) -> None:
        self._random = np.random.RandomState(np.random.Philox(key=0, counter=0))
        self._state = self._random.get_state(legacy=False)
        self._key = self._state["state"]["key"]
        self._counter = self._state["state"]["counter"]

    def seek(self, key: tuple[int, int], index: int) -> np.random.RandomState:
        self._key[0], self._key[1] = key
        self._counter[1] = index  # the other words stay 0: set_state copies
        self._random.set_state(self._state)
        return self._random


_own = _Generator()


@lru_cache
def _hash_name(name: str) -> int:
    """Return the second key word: the first eight bytes, little-endian, of the SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def check_seed(seed: int) -> None:
    """Raise InputError unless 0 <= seed < 2^64."""
    if not 0 <= seed < LIMIT:
        raise InputError(f"seed is {seed}, expected 0 to 2^64 - 1")
