"""From a model's output to waveforms and WAV files.

Source: docs/bundle.md, "Output".
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.session import Array

MAX_CHANNELS = 64  # more are likely samples in the wrong place
_TOP = 32767
_MAX_BYTES = 2**32 - 64  # a WAV file counts its bytes in 32 bits, the header's too
_PAUSE = 0.25


def to_waves(output: Array, spec: OutputSpec) -> NDArray[np.int16]:
    """Map values in the contract's range to 16-bit PCM; values outside are cut off to the ends.

    Args:
        output: (B, channels, samples).
        spec: the contract.

    Returns:
        (B, samples, channels) int16, -32767 to 32767; the middle of the range is 0.

    Raises:
        InputError: the contract is not audio, or the array is not.
    """
    if spec.kind != "audio" or spec.range is None:
        raise InputError(
            f"the output of this bundle is {spec.noun}, not audio",
            fix="write it as an array: genx sample BUNDLE -o NAME.npy",
        )
    if output.ndim != 3 or not 1 <= output.shape[1] <= MAX_CHANNELS:
        raise InputError(
            f"audio has shape (B, channels, samples), 1 to {MAX_CHANNELS} channels, this output "
            f"has {output.shape}"
        )
    scaled = _scale(output, spec.range)
    scaled.clip(-_TOP, _TOP, out=scaled)
    return np.ascontiguousarray(scaled.astype(np.int16).transpose(0, 2, 1))


def count_clipped(output: Array, spec: OutputSpec) -> int:
    """Return how many values (B, channels, samples) of audio `to_waves` cuts off."""
    assert spec.range is not None  # audio has one
    return int(np.count_nonzero(np.abs(_scale(output, spec.range)) > _TOP))


def _scale(output: Array, limits: tuple[float, float]) -> NDArray[np.float64]:
    """Return values in -32767 .. 32767, as whole numbers, where they lie within the limits."""
    low, high = limits
    scaled = (output.astype(np.float64) - (low + high) / 2) * (2 * _TOP / (high - low))
    return np.rint(scaled, out=scaled)


def join_waves(waves: Sequence[NDArray[np.int16]], rate: int) -> NDArray[np.int16]:
    """Return sounds (samples, channels) one after another, a quarter of a second apart.

    Args:
        waves: one or more.
        rate: samples a second.
    """
    pause = np.zeros((round(rate * _PAUSE), waves[0].shape[1]), np.int16)
    return np.concatenate([part for sound in waves for part in (sound, pause)][:-1])


def encode_wav(samples: NDArray[np.int16], rate: int) -> bytes:
    """Return sound as a WAV file of 16-bit PCM.

    Args:
        samples: (samples, channels) int16.
        rate: samples a second, in Hz.

    Raises:
        InputError: more than a WAV file can hold, 4 GiB.
    """
    if samples.nbytes > _MAX_BYTES:
        raise InputError(
            f"{samples.nbytes / 2**30:.1f} GiB of sound do not fit into a WAV file, which holds 4",
            fix="write a folder, a file a sample, or NAME.npy",
        )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
