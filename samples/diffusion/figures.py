"""Whether the digits are those asked for, sampled as a diffusion and as a flow."""

from pathlib import Path

from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, agreement, draw, join, make_bundle


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the digit classifier's agreement, of DDIM in 20 steps and of Heun in 10."""
    judge, real = Judge(), measure_accuracy()
    figures = []
    for model, name in (
        ("diffusion", "DDIM, 20 steps"),
        ("diffusion/flow", "flow, Heun, 10 steps"),
    ):
        (folder / model).parent.mkdir(exist_ok=True)
        bundle = make_bundle(model, folder, precision)
        drawn = join(draw(bundle, 300, label="balanced"))
        value = agreement(judge.name(drawn["image"]), drawn["label"])
        figures.append(Figure(name=f"diffusion: {name}", value=value, bar=0.80, real=real))
    return figures
