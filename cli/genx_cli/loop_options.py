"""Options of the sampling loop, which several commands take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genx_runtimes.samplers.loop import SamplingOptions

_PANEL = "Sampling loops"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopChoice:
    """What a command line says of the loop; a parameter of this type is all of these options."""

    steps: Annotated[
        int | None, typer.Option(help="Diffusion: steps of the solver.", rich_help_panel=_PANEL)
    ] = None
    solver: Annotated[
        str | None,
        typer.Option(
            help="Diffusion: ddpm, ddim, euler, heun or dpmpp_2m.", rich_help_panel=_PANEL
        ),
    ] = None
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Diffusion: weight of the condition; 1 is no guidance.", rich_help_panel=_PANEL
        ),
    ] = None
    length: Annotated[
        int | None,
        typer.Option(help="Sequences: elements. Text: new tokens.", rich_help_panel=_PANEL),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Text, pixels: below 1 more likely, 0 the likeliest.", rich_help_panel=_PANEL
        ),
    ] = None
    top_k: Annotated[
        int | None,
        typer.Option(help="Text, pixels: draw from the k likeliest.", rich_help_panel=_PANEL),
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Text, pixels: draw from the likeliest that add up to p.", rich_help_panel=_PANEL
        ),
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(help="Text that each sample starts with.", rich_help_panel=_PANEL),
    ] = None

    def settle(self) -> SamplingOptions:
        """Return them as the runtime takes them."""
        from genx_runtimes.samplers.loop import SamplingOptions

        return SamplingOptions(**asdict(self))
