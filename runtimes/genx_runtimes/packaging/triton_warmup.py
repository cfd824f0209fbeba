"""Golden samples as the requests that Triton sends itself when it loads a model.

Source: triton-inference-server/common, `ModelWarmup` in `model_config.proto`: raw values in
row-major order in the model's folder `warmup`; a request of several samples repeats its one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from genx_runtimes.manifest import ComponentSpec
from genx_runtimes.session import Array

FOLDER = "warmup"
_MOST = 4  # the first call allocates, the next ones settle


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupTensor:
    """An input of a request: the graph's input, the file, and what it holds, without the batch."""

    name: str
    file: str
    array: Array

    def encode(self) -> bytes:
        """Return the file: little-endian values in row-major order."""
        little = self.array.astype(self.array.dtype.newbyteorder("<"), copy=False)
        return little.tobytes(order="C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """A request; `batch_size` is how many times its one sample is sent."""

    name: str
    batch_size: int
    inputs: tuple[WarmupTensor, ...]


def list_warmups(
    component: ComponentSpec, golden: Mapping[str, Array], *, usual: int
) -> tuple[Warmup, ...]:
    """Return requests of a golden sample each, and of the first `usual` times, for a batched model.

    Args:
        component: of the bundle.
        golden: the bundle's arrays.
        usual: the batch size that will be run most.
    """
    singles = tuple(
        Warmup(name=f"golden_{i}", batch_size=1, inputs=tuple(_take(component, golden, i, i + 1)))
        for i in range(min(_count(component, golden), _MOST))
    )
    if usual == 1:
        return singles
    return (*singles, Warmup(name="usual_batch", batch_size=usual, inputs=singles[0].inputs))


def list_whole_warmups(
    component: ComponentSpec, golden: Mapping[str, Array], *, size: int
) -> tuple[Warmup, ...]:
    """Return requests of `size` golden samples each, for a model that Triton does not batch."""
    firsts = range(0, _count(component, golden) - size + 1, size)[:_MOST]
    return tuple(
        Warmup(
            name=f"golden_{first}_to_{first + size - 1}",
            batch_size=1,
            inputs=tuple(_take(component, golden, first, first + size, whole=True)),
        )
        for first in firsts
    )


def _take(
    component: ComponentSpec,
    golden: Mapping[str, Array],
    first: int,
    end: int,
    *,
    whole: bool = False,
) -> Iterator[WarmupTensor]:
    for number, spec in enumerate(component.inputs):
        array = golden[f"{component.name}/in/{spec.name}"][first:end]
        if not whole:
            array = array[0].reshape(array.shape[1:] or (1,))
        # Names of inputs come from strangers and are no names of files.
        yield WarmupTensor(name=spec.name, file=f"golden_{first}_input_{number}.bin", array=array)


def _count(component: ComponentSpec, golden: Mapping[str, Array]) -> int:
    return len(golden[f"{component.name}/in/{component.inputs[0].name}"])
