from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from genx_runtimes.audio import count_clipped, encode_wav, join_waves, to_waves
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.sampler import Batch

AUDIO = OutputSpec(name="x", kind="audio", range=(-1.0, 1.0), sample_rate=16000)


def test_the_range_is_mapped_to_16_bits_and_silence_stays_silent() -> None:
    values = np.array([-9, -1, -0.5, 0, 1 / 32767, 0.5, 1, 9], np.float32).reshape(1, 1, 8)
    waves = to_waves(values, AUDIO)
    assert waves.dtype == np.int16
    assert waves.shape == (1, 8, 1)
    assert waves.ravel().tolist() == [-32767, -32767, -16384, 0, 1, 16384, 32767, 32767]
    bytes_ = OutputSpec(name="x", kind="audio", range=(0.0, 2.0), sample_rate=1)
    middle = np.array([0, 1, 2], np.float64).reshape(1, 1, 3)
    assert to_waves(middle, bytes_).ravel().tolist() == [-32767, 0, 32767]


def test_what_is_cut_off_is_counted() -> None:
    values = np.array([[-1.1, -1, 0, 1], [1, 1.000001, 1.1, 0]], np.float32)[None]
    assert count_clipped(values, AUDIO) == 2, "less than half a step beyond is rounding"


def test_channels_come_last() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (2, 3, 50)).astype(np.float32)
    batch = Batch(start=0, feeds={}, output=values, spec=AUDIO)
    waves = batch.waves()
    assert waves.shape == (2, 50, 3)
    assert waves[1, 7, 2] == round(float(values[1, 2, 7]) * 32767)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_file_holds_the_sound(channels: int) -> None:
    rng = np.random.default_rng(0)
    sound = rng.integers(-32767, 32768, (100, channels)).astype(np.int16)
    with wave.open(io.BytesIO(encode_wav(sound, 22050))) as file:
        assert file.getparams()[:4] == (channels, 2, 22050, 100)
        assert file.readframes(100) == sound.astype("<i2").tobytes()


def test_sounds_are_joined_with_a_pause() -> None:
    one, two = np.full((3, 2), 1, np.int16), np.full((4, 2), 2, np.int16)
    joined = join_waves([one, two], 8)
    assert joined[:, 0].tolist() == [1, 1, 1, 0, 0, 2, 2, 2, 2]
    assert join_waves([one], 8).shape == (3, 2)


def test_what_is_no_audio() -> None:
    table = OutputSpec(name="x", kind="table")
    with pytest.raises(InputError, match=r"is a table, not audio; write it as an array"):
        to_waves(np.zeros((1, 1, 2)), table)
    for shape in ((1, 100), (1, 65, 100), (1, 0, 100), (1, 1, 2, 2)):
        with pytest.raises(InputError, match=r"audio has shape \(B, channels, samples\), 1 to 64"):
            to_waves(np.zeros(shape), AUDIO)


def test_more_than_a_wav_file_can_hold() -> None:
    endless = np.broadcast_to(np.zeros((1, 2), np.int16), (2**30, 2))
    with pytest.raises(InputError, match=r"4\.0 GiB of sound do not fit .* which holds 4; write a"):
        encode_wav(endless, 16000)
