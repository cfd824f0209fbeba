"""A contender of `families.py`: a loop over a sample's model in PyTorch, in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from genx_runtimes.bench.case import Case
from genx_runtimes.bench.worker import Prepared, serve

SAMPLES = Path(__file__).parents[2] / "samples"
Draw = Callable[[], object]


def load(module: nn.Module, name: str) -> nn.Module:
    """Return the sample's model with its trained weights, in eval mode."""
    module.load_state_dict(load_file(SAMPLES / name / "weights.safetensors"))
    return module.eval()


def serve_loop(make: Callable[[int], Draw]) -> None:
    """Answer a case.

    Args:
        make: from the batch size to what draws that many samples once.
    """

    @contextmanager
    def prepare(case: Case) -> Iterator[Prepared]:
        torch.set_num_threads(case.threads)
        torch.set_num_interop_threads(1)
        torch.manual_seed(case.seed)
        with torch.inference_mode():
            draw = make(case.batch)
            yield Prepared(draw=lambda _: draw(), versions={"torch": str(torch.__version__)})

    serve(prepare)
