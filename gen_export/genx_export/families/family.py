"""What a family of generative models needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from genx_runtimes.errors import SourceError
from genx_runtimes.sampler_checks import list_value_problems
from genx_runtimes.sampling_specs import FeedforwardSpec, SamplerSpec, StateSpec

# In `Family.outputs`: what the output contract calls the sample.
OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a kind of model is cut up and sampled.

    Args:
        name: as in a recipe's `family`.
        calls: for each component, the sub-module or method of the nn.Module that it is; "" is the
            module itself.
        outputs: names for the outputs of components where the field has them, `OUTPUT` for the
            sample; those of a step are followed by `next_NAME` for each of its states.
        sampled: the component that the priors feed and the sampler runs.
        sampler: the spec of its loop.
        settings: fields of that spec that the family fixes; a recipe's `[sampler]` gives the rest.
        optional: components that a model may lack.
        takes_images: whether images feed it, and no prior is needed.
        draws: whether its loop draws on the way, and no prior is needed.
    """

    name: str
    calls: Mapping[str, str]
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sampled: str
    sampler: type[SamplerSpec] = FeedforwardSpec
    settings: Mapping[str, object] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    takes_images: bool = False
    draws: bool = False

    def describe_sampler(
        self, fields: Mapping[str, object], present: Collection[str]
    ) -> SamplerSpec:
        """Return the spec of the loop.

        Args:
            fields: of a recipe's `[sampler]`.
            present: the components that the model has.

        Raises:
            SourceError: a field is missing, unknown, of the wrong type or out of range.
        """
        absent = self.optional.difference(present)
        fixed = {n: value for n, value in self.settings.items() if value not in absent}
        given = {"component": self.sampled, **fixed, **fields}
        known = self.sampler.__struct_fields__
        for name in given:
            if name not in known:
                raise SourceError(
                    f"[sampler] of family {self.name!r} has no field {name!r}",
                    fix=f"it has {', '.join(n for n in known if n != 'component')}",
                )
        try:
            spec: SamplerSpec = msgspec.convert({**given, "kind": self.sampler.kind}, self.sampler)
        except msgspec.ValidationError as err:
            raise SourceError(
                f"[sampler] of family {self.name!r}: {err}", fix="see docs/recipe.md"
            ) from err
        for problem in list_value_problems(spec):
            raise SourceError(f"[sampler] of family {self.name!r}: {problem}")
        return spec

    def name_outputs(self, sampler: SamplerSpec) -> dict[str, tuple[str, ...]]:
        """Return names for the components' outputs, states of a step included."""
        states: tuple[StateSpec, ...] = getattr(sampler, "states", ())
        following = tuple(f"next_{state.name}" for state in states)
        return {
            name: (*outputs, *following) if name == self.sampled else outputs
            for name, outputs in self.outputs.items()
        }
