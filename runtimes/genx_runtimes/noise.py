"""Counter-based random numbers: those of sample `i` depend on the seed, `i` and a stream name only.

Source: docs/bundle.md, "Randomness"; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011 (Philox4x64-10).
"""

from __future__ import annotations

import hashlib

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
        digest = hashlib.sha256(name.encode()).digest()
        key = np.array([seed, int.from_bytes(digest[:8], "little")], dtype=np.uint64)
        self._random = np.random.RandomState(np.random.Philox(key=key, counter=0))
        # Resetting one generator is three times as fast as making one for each sample.
        self._state = self._random.get_state(legacy=False)

    def at(self, index: int) -> np.random.RandomState:
        """Return the generator of sample `index`, valid until the next call.

        Args:
            index: 0 <= index < 2^64.
        """
        self._state["state"]["counter"][:] = (0, index, 0, 0)
        self._random.set_state(self._state)
        return self._random


def check_seed(seed: int) -> None:
    """Raise InputError unless 0 <= seed < 2^64."""
    if not 0 <= seed < LIMIT:
        raise InputError(f"seed is {seed}, expected 0 to 2^64 - 1")
