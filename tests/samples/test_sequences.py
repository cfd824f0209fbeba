"""The sequence models' two ways to the same sample, and what both are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from samples.crgan.eager import draw_by_steps
from samples.crgan.model import LENGTH, NOISE, Generator
from samples.judging import SAMPLES, make_bundle
from samples.pixelcnn.figures import count_bits
from samples.pixelcnn.model import LAYERS, STATES, WINDOW, PixelCNN
from samples.pixelcnn.naive import draw_naively
from torch.nn import functional

EXACT = 1e-5


@torch.inference_mode()
def test_pixelcnn_row_by_row_equals_a_whole_pass() -> None:
    torch.manual_seed(0)
    model = PixelCNN().eval()
    image, label = 2 * torch.rand(2, 1, 14, 14) - 1, torch.tensor([3, 5])
    whole = model(image, label)
    above = functional.pad(image, (0, 0, WINDOW, 0))
    inside = functional.pad(torch.ones(2, 1, 14, 1), (0, 0, WINDOW, 0))
    for y in range(14):
        rows = slice(y, y + WINDOW)
        features = model.row(above[:, :, rows], inside[:, :, rows], label)
        states = [torch.zeros(2, *shape) for shape in STATES.values()]
        pixel = torch.zeros(2, 1, 1, 1)
        for x in range(14):
            logits, *states = model.step(pixel, features[:, :, x], label, *states)
            torch.testing.assert_close(logits[:, 0], whole[:, y, x], atol=EXACT, rtol=0)
            pixel = image[:, :, y : y + 1, x : x + 1]
    assert len(states) == LAYERS


def test_pixelcnn_sees_only_what_is_above_and_left() -> None:
    torch.manual_seed(0)
    model = PixelCNN().eval()
    image = torch.rand(1, 1, 14, 14, requires_grad=True)
    logits = model(image, torch.tensor([1]))
    (seen,) = torch.autograd.grad(logits[:, 9, 6].sum(), image)
    assert not seen.flatten()[9 * 14 + 6 :].any()
    assert seen[0, 0, 9, 5] != 0
    assert seen[0, 0, 8, 7] != 0


@torch.inference_mode()
def test_crgan_step_by_step_equals_the_whole() -> None:
    torch.manual_seed(0)
    model = Generator().eval()
    noise, label = torch.randn(3, LENGTH, NOISE), torch.tensor([3, 5, 7])
    rows = draw_by_steps(model, noise, label)
    torch.testing.assert_close(rows, model(noise, label), atol=EXACT, rtol=0)


def test_counting_bits() -> None:
    stripes = torch.tensor([[3, 0] * 7] * 14)[None].repeat(50, 1, 1).numpy()
    unigram, bigram = count_bits(stripes, stripes)
    assert unigram == pytest.approx(1)
    assert bigram < 0.01  # each level follows from the one to its left


def test_pixelcnn_draws_what_one_whole_pass_a_pixel_draws(tmp_path: Path) -> None:
    model = PixelCNN()
    model.load_state_dict(load_file(SAMPLES / "pixelcnn" / "weights.safetensors"))
    with make_bundle("pixelcnn", tmp_path, "fp32").sampler() as sampler:
        drawn = next(sampler.sample(3, seed=5, conditions={"label": 4})).output
    expected = draw_naively(model.eval(), torch.tensor([4, 4, 4]), 5, range(3))
    np.testing.assert_allclose(drawn, expected, atol=1e-6)
