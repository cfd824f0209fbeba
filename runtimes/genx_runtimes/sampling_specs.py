"""What a manifest says of each kind of sampling loop, and of what the loop hands to the graphs.

Source: docs/bundle.md, "Sampler".
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

Solver = Literal["ddpm", "ddim", "euler", "heun", "dpmpp_2m"]
SOLVERS: tuple[Solver, ...] = ("ddpm", "ddim", "euler", "heun", "dpmpp_2m")


class StateSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step graph remembers: it comes in as `name` and goes out as `next_NAME`.

    Args:
        name: of the input.
        shape: of one sample; it starts as zeros, float32.
        grows: the axis of one sample along which `next_NAME`, of length 1 there, is written at the
            position; None: `next_NAME` takes the whole state's place.
    """

    name: str
    shape: tuple[int, ...]
    grows: int | None = None


class FeedforwardSpec(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="feedforward"
):
    """One pass through one graph."""

    component: str
    kind: ClassVar[str] = "feedforward"

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component,)


class TranslateSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="translate"):
    """Images in, images out, tile by tile.

    Args:
        component: the graph.
        image: the input that takes a tile, (B, C, H, W).
        tile: C, H, W of a tile; C is 1, 3 or 4.
        range: the values of black and white in the input, as in an output.
        overlap: pixels that neighbouring tiles share, before scaling.
        scale: output pixels for each input pixel, along each side.
    """

    component: str
    image: str
    tile: tuple[int, int, int]
    range: tuple[float, float]
    overlap: int = 0
    scale: int = 1
    kind: ClassVar[str] = "translate"

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component,)


class RecurrentSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="recurrent"):
    """A step for each element of a sequence, with a state.

    Args:
        component: the step: an element of each prior in `sequences`, and the state, to an element.
        whole: the same sequence of `length` in one graph; None where there is none.
        states: what the step remembers.
        sequences: the priors whose first axis is time; the others are the same at each step.
        length: elements, unless `--length` says otherwise.
        axis: the axis of one sample along which elements are joined.
    """

    component: str
    whole: str | None = None
    states: tuple[StateSpec, ...]
    sequences: tuple[str, ...]
    length: int
    axis: int = 0
    kind: ClassVar[str] = "recurrent"

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component, *(() if self.whole is None else (self.whole,)))


class TokensSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tokens"):
    """One token after another, each drawn from the distribution that the step gives for it.

    Args:
        component: the step: `token` (B,) and `position` (B,), both int64, and the states to logits
            (B, V), the output contract's tensor.
        states: what the step remembers, such as the keys and values of attention.
        token: the input that takes the last token.
        position: the input that takes its place, from 0.
        length: tokens, the start included, that the model can look back on.
        start: the token that stands before all others.
        stop: tokens that end a sample.
        temperature: unless the caller says otherwise; 0 takes the likeliest token.
    """

    component: str
    states: tuple[StateSpec, ...]
    token: str = "token"
    position: str = "position"
    length: int
    start: int
    stop: tuple[int, ...] = ()
    temperature: float = 1.0
    kind: ClassVar[str] = "tokens"

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component,)


class PixelsSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pixels"):
    """One pixel after another, row by row, left to right (van den Oord et al. 2016).

    Args:
        component: the step along a row: `pixel` (B, C, 1, 1), the one to the left, in the output's
            range, one column (B, F) of what `row` made, and the states, zero at the start of each
            row, to logits (B, C, levels).
        row: rows above, (B, C, window, W), zeros outside the image, to `features` (B, F, W).
        states: what the step along a row remembers.
        pixel: the step's input for the pixel to the left.
        features: the step's input for the column, and the output of `row`.
        above: the input of `row`.
        inside: another input of `row`, (B, 1, window, 1): 1 for rows of the image, 0 for those
            outside, where a network that pads each layer has zeros; None where it does without.
        shape: C, H, W of the image.
        window: rows above that `row` looks at.
        levels: values of a pixel, equally spaced over the output's range.
        temperature: unless the caller says otherwise; 0 takes the likeliest value.
    """

    component: str
    row: str
    states: tuple[StateSpec, ...]
    pixel: str = "pixel"
    features: str = "features"
    above: str = "above"
    inside: str | None = None
    shape: tuple[int, int, int]
    window: int
    levels: int
    temperature: float = 1.0
    kind: ClassVar[str] = "pixels"

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component, self.row)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How signal and noise are mixed at each time: x_t = signal(t) * x_0 + noise(t) * e.

    Args:
        kind: `linear`, `scaled_linear` and `cosine` give the betas of `train_steps` discrete steps;
            `betas` lists them; `flow` is x_t = (1 - t) * x_0 + t * e for t in 0..1.
        train_steps: discrete steps in training; 0 for `flow`.
        beta_start: of `linear` and `scaled_linear`.
        beta_end: of `linear` and `scaled_linear`.
        betas: of `betas`.
        spacing: which of the discrete steps are taken, as in diffusers.
        steps_offset: added to the steps of `leading` spacing.
        final_one: whether the signal after the last step is 1, not that of discrete step 0.
        time_scale: what t of `flow` is multiplied with for the denoiser.
    """

    kind: Literal["linear", "scaled_linear", "cosine", "betas", "flow"]
    train_steps: int = 0
    beta_start: float = 1e-4
    beta_end: float = 0.02
    betas: tuple[float, ...] = ()
    spacing: Literal["leading", "trailing", "linspace"] = "trailing"
    steps_offset: int = 0
    final_one: bool = True
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        betas = self.betas
        if self.kind in ("linear", "scaled_linear"):
            betas = (self.beta_start, self.beta_end)
        if self.kind == "betas" and not betas:
            raise ValueError("a schedule of betas needs betas")
        if not all(0 < beta < 1 for beta in betas[:-1]) or not all(0 < b <= 1 for b in betas[-1:]):
            raise ValueError("a schedule's betas are above 0 and below 1, the last at most 1")
        if self.kind not in ("betas", "flow") and self.train_steps < 1:
            raise ValueError(f"a {self.kind} schedule needs train_steps, 1 or more")
        if self.steps_offset < 0:
            raise ValueError(f"steps_offset is {self.steps_offset}, expected 0 or more")

    @property
    def starts_empty(self) -> bool:
        """Whether the noisiest sample holds no signal at all."""
        return self.kind == "flow" or (self.kind == "betas" and self.betas[-1] == 1)


class Guidance(msgspec.Struct, frozen=True, kw_only=True):
    """Classifier-free guidance: the condition, the class that stands for none, the default weight.

    Source: Ho & Salimans, "Classifier-free diffusion guidance", arXiv:2207.12598.
    """

    condition: str
    null: int
    default: float = 1.0


class DiffusionSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="diffusion"):
    """From noise to sample along a schedule, a step of a solver at a time.

    Args:
        component: the denoiser: `x` (B, ...) and `time` (B,) float32, and conditions, to its
            prediction, shaped like `x`.
        x: the input that takes the noisy sample; a normal prior of this name starts it.
        time: the input that takes the time.
        prediction: what the denoiser gives: the noise e, the sample x_0, the velocity
            v = signal * e - noise * x_0, or the flow e - x_0.
        schedule: of the noise.
        solver: unless the caller says otherwise.
        steps: unless the caller says otherwise.
        guidance: None where there is none.
        clip: the range that predictions of x_0 are cut to; None leaves them.
        decoder: from the latent x_0, divided by `scaling`, to the sample; None: x_0 is the sample.
        latent: the decoder's input.
        scaling: see `decoder`.
    """

    component: str
    x: str = "x"
    time: str = "time"
    prediction: Literal["noise", "sample", "velocity", "flow"] = "noise"
    schedule: Schedule
    solver: Solver = "ddim"
    steps: int = 20
    guidance: Guidance | None = None
    clip: tuple[float, float] | None = None
    decoder: str | None = None
    latent: str = "latent"
    scaling: float = 1.0
    kind: ClassVar[str] = "diffusion"

    def __post_init__(self) -> None:
        if self.prediction == "noise" and self.schedule.starts_empty:
            raise ValueError("x_0 cannot be told from noise where the schedule leaves no signal")
        if self.solver == "ddpm" and self.schedule.kind == "flow":
            raise ValueError("solver ddpm needs a schedule with steps of noise, this one is a flow")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected 1 or more")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip is {list(self.clip)}, expected low < high")
        if self.scaling == 0:
            raise ValueError("scaling is 0")

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs that the loop runs, the sampled one first."""
        return (self.component, *(() if self.decoder is None else (self.decoder,)))


# What makes a sample in one pass through one graph.
OnePassSpec = FeedforwardSpec | TranslateSpec
SamplerSpec = (
    FeedforwardSpec | TranslateSpec | RecurrentSpec | TokensSpec | PixelsSpec | DiffusionSpec
)
