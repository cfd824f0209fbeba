"""How many held-out digits the judge names rightly: what all other figures rest on."""

from pathlib import Path

from samples.judging import Figure, Judge, agreement
from samples.training.data import load_digits


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the classifier's accuracy; it is no bundle and has one precision."""
    del folder, precision
    return [
        Figure(name="classifier: held-out digits named rightly", value=measure_accuracy(), bar=0.97)
    ]


def measure_accuracy() -> float:
    """Return the share of the held-out digits that the classifier names rightly."""
    _, held_out = load_digits().split()
    return agreement(Judge().name(held_out.images.numpy()), held_out.labels.numpy())
