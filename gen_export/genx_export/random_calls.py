"""torch's random functions, each written as what it makes of N(0, 1) or U(0, 1) numbers.

With `RandomCalls` around a forward(), whoever is asked for these numbers may note what is drawn, or
give numbers of his own. What is not in `RULES` runs as it is, and draws as it does.

Source: PyTorch documentation, "Random sampling", and torch.nn.functional.dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

NoiseKind = Literal["normal", "uniform"]


class Draw(Protocol):
    """Gives N(0, 1) or U(0, 1) numbers of a shape and a floating dtype."""

    def __call__(self, kind: NoiseKind, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return them."""
        ...


class RandomCalls(TorchFunctionMode):
    """While it is entered, the random functions of torch draw from where one says.

    Args:
        draw: gives the numbers.
    """

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self._draw = draw

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Call a function, or what stands in its place."""
        del types
        options = dict(kwargs or {})
        rule = RULES.get(func)
        if rule is None or options.get("out") is not None:
            return func(*args, **options)
        return rule(self._draw, *args, **options)


def _randn(
    draw: Draw, *size: object, dtype: torch.dtype | None = None, **options: object
) -> Tensor:
    return draw("normal", _shape(size, options), dtype or torch.get_default_dtype())


def _rand(draw: Draw, *size: object, dtype: torch.dtype | None = None, **options: object) -> Tensor:
    return draw("uniform", _shape(size, options), dtype or torch.get_default_dtype())


def _randn_like(draw: Draw, input: Tensor, dtype: torch.dtype | None = None, **_: object) -> Tensor:
    return draw("normal", input.shape, dtype or input.dtype)


def _rand_like(draw: Draw, input: Tensor, dtype: torch.dtype | None = None, **_: object) -> Tensor:
    return draw("uniform", input.shape, dtype or input.dtype)


def _normal(
    draw: Draw,
    mean: Tensor | float,
    std: Tensor | float = 1.0,
    size: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    **_: object,
) -> Tensor:
    tensors = [value for value in (mean, std) if isinstance(value, Tensor)]
    shape = size if size is not None else sum(tensors, torch.zeros(())).shape
    own = tensors[0].dtype if tensors else torch.get_default_dtype()
    return mean + std * draw("normal", shape, dtype or own)


def _fill_normal(
    draw: Draw, self: Tensor, mean: float = 0.0, std: float = 1.0, **_: object
) -> Tensor:
    return self.copy_(mean + std * draw("normal", self.shape, self.dtype))


def _fill_uniform(draw: Draw, self: Tensor, *limits: float, **options: float) -> Tensor:
    given = dict(zip(("from", "to"), limits, strict=False)) | options
    low, high = given.get("from", 0.0), given.get("to", 1.0)
    return self.copy_(low + (high - low) * draw("uniform", self.shape, self.dtype))


def _bernoulli(draw: Draw, input: Tensor, p: float | None = None, **_: object) -> Tensor:
    uniform = draw("uniform", input.shape, input.dtype)
    return (uniform < (input if p is None else p)).to(input.dtype)


def _fill_bernoulli(draw: Draw, self: Tensor, p: Tensor | float = 0.5, **_: object) -> Tensor:
    dtype = self.dtype if self.is_floating_point() else torch.get_default_dtype()
    return self.copy_(draw("uniform", self.shape, dtype) < p)


def _dropout(
    draw: Draw,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    return _drop(draw, input, input.shape, p=p, training=training, inplace=inplace)


def _old_dropout(draw: Draw, input: Tensor, p: float, train: bool) -> Tensor:
    return _drop(draw, input, input.shape, p=p, training=train, inplace=False)


def _drop_channels(
    draw: Draw,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    shape = (*input.shape[:2], *[1] * (input.dim() - 2))
    return _drop(draw, input, shape, p=p, training=training, inplace=inplace)


def _drop(
    draw: Draw, input: Tensor, shape: Sequence[int], *, p: float, training: bool, inplace: bool
) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability is {p}, expected 0 to 1")
    if not training or p == 0:
        return input
    if p == 1:
        kept = torch.zeros_like(input)
    else:
        kept = input * (draw("uniform", shape, input.dtype) >= p) / (1 - p)
    return input.copy_(kept) if inplace else kept


def _shape(size: Sequence[object], options: Mapping[str, object]) -> Sequence[int]:
    """Return the shape that torch.randn's arguments give: one by one, or as one sequence."""
    given = size or (options["size"],)
    first = given[0]
    return first if isinstance(first, Sequence) else given  # type: ignore[return-value]


RULES: Mapping[object, Callable[..., Tensor]] = {
    torch.randn: _randn,
    torch.rand: _rand,
    torch.randn_like: _randn_like,
    torch.rand_like: _rand_like,
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    torch.dropout: _old_dropout,
    torch.Tensor.normal_: _fill_normal,
    torch.Tensor.uniform_: _fill_uniform,
    torch.Tensor.bernoulli: _bernoulli,
    torch.Tensor.bernoulli_: _fill_bernoulli,
    functional.dropout: _dropout,
    functional.dropout1d: _drop_channels,
    functional.dropout2d: _drop_channels,
    functional.dropout3d: _drop_channels,
}
