"""What every training loop needs: a seeded start, progress, averaged weights and a saved file."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = [
    "average_weights",
    "count_steps",
    "descend",
    "estimate_normalisation",
    "lay_out",
    "learning_rate",
    "prepare",
    "save_weights",
]

THREADS = 2

Model = TypeVar("Model", bound=nn.Module)


def prepare(seed: int) -> None:
    """Fix the seed and the number of threads, so that a machine repeats its own weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    # Adam's moments decay into denormal numbers, which a CPU computes many times slower.
    torch.set_flush_denormal(True)


def lay_out(model: Model) -> Model:
    """Keep the model's images channels last, in which a CPU trains a third faster."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def count_steps(name: str, steps: int, every: int = 500) -> Iterator[int]:
    """Yield 0..steps-1 and print the time taken now and then."""
    start = time.perf_counter()
    for step in range(steps):
        yield step
        if (step + 1) % every == 0 or step + 1 == steps:
            seconds = time.perf_counter() - start
            print(f"{name}: step {step + 1}/{steps}, {seconds:.0f} s", flush=True)


def descend(loss: Tensor, optimiser: Optimizer) -> None:
    """Take one step down the gradient of the loss (scalar)."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


def learning_rate(steps: int, constant: float = 0.5) -> Callable[[int], float]:
    """Give a factor per step: 1 for the first part of the steps, then linearly down to 0."""

    def factor(step: int) -> float:
        return min(1.0, (steps - step) / (steps * (1.0 - constant)))

    return factor


def average_weights(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """Copy the model; each `update_parameters` moves the copy a little towards the model.

    Source: Polyak, Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging";
    Yazıcı et al. 2019, "The Unusual Effectiveness of Averaging in GAN Training", arXiv:1806.04498.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


@torch.no_grad()
def estimate_normalisation(
    model: nn.Module, draw: Callable[[], tuple[Tensor, ...]], batches: int = 100
) -> None:
    """Set the running statistics of batch normalisation to the plain mean over fresh inputs.

    Averaged weights have other activations than the weights in training, whose statistics they
    hold.

    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better
    Generalization", arXiv:1803.05407, section 3.2.
    """
    layers = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean instead of a moving one
    model.train()
    for _ in range(batches):
        model(*draw())
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights and buffers as safetensors, in the standard memory layout."""
    save_file({name: part.contiguous() for name, part in model.state_dict().items()}, path)
    print(f"{path.parent.name}: {path.stat().st_size:,} bytes in {path.name}", flush=True)
