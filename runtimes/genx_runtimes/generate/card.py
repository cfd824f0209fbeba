"""The data set card: `README.md` as hubs show it, its head in YAML.

Source: Hugging Face hub, "Dataset Cards" and "Data files configuration".
"""

from __future__ import annotations

import json
from pathlib import Path

from genx_runtimes.generate.layout import INDEX, SEED, Layout
from genx_runtimes.generate.plan import FOLDER, Plan
from genx_runtimes.generate.publishing import publish
from genx_runtimes.generate.record import Dataset
from genx_runtimes.generate.sheet import SHEET
from genx_runtimes.manifest import CategoricalPrior, Manifest, Prior, UniformPrior

CARD = "README.md"


def write_card(plan: Plan, manifest: Manifest, dataset: Dataset) -> None:
    """Write the card of a data set.

    Raises:
        OutputError: it cannot be written.
    """
    with publish(Path(plan.folder, CARD)) as temporary:
        temporary.write_text(make_card(plan, manifest, dataset), encoding="utf-8")


def make_card(plan: Plan, manifest: Manifest, dataset: Dataset) -> str:
    """Return the card of a data set."""
    settings, layout = plan.settings, Layout.of(manifest, plan.settings)
    made = sum(shard.count for shard in dataset.shards)
    parts = [
        _head(manifest, settings.format, made),
        f"# {manifest.name}: {settings.n:,} synthetic samples",
    ]
    if manifest.description:
        parts.append(manifest.description)
    if manifest.output.kind == "image":
        parts.append(f"![the first samples]({SHEET})")
    if not dataset.complete:
        parts.append(f"**Incomplete**: {made:,} of {settings.n:,} samples are there.")
    parts += [
        "Every sample was drawn from a generative model; none was recorded or written by anyone. "
        f"Sample `i` depends on the seed and on `i` alone: genx "
        f"draws it again from the bundle `{manifest.name}` with `genx sample --seed "
        f"{settings.seed} --start i -n 1` and what is set below.",
        "## Columns",
        _list_columns(layout),
        "## Reading it",
        READERS[settings.format].format(column=layout.column, suffix=layout.suffix),
        "## How it was made",
        _list_settings(plan, dataset),
    ]
    return "\n\n".join(parts) + "\n"


def _head(manifest: Manifest, form: str, count: int) -> str:
    lines = ["---", f"pretty_name: {json.dumps(manifest.name)}", "tags:", "- synthetic", "- genx"]
    lines += ["size_categories:", f"- {name_size(count)}"]
    if form in _PATTERNS:
        lines += ["configs:", "- config_name: default", "  data_files:", "  - split: train"]
        lines += [f"    path: {FOLDER}/{_PATTERNS[form]}"]
    return "\n".join([*lines, "---"])


def name_size(count: int) -> str:
    """Return the hub's category of a number of samples."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    bounds = [1000 * 10**power for power in range(len(names))]
    place = next((i for i, bound in enumerate(bounds) if count < bound), None)
    if place is None:
        return "n>1T"
    return f"n<{names[0]}" if not place else f"{names[place - 1]}<n<{names[place]}"


def _list_columns(layout: Layout) -> str:
    lines = [f"- `{layout.column}`: the sample", f"- `{INDEX}`: its index", f"- `{SEED}`: the seed"]
    lines += [f"- `{name}`: {_describe(prior)}" for name, prior in layout.conditions.items()]
    return "\n".join(lines)


def _describe(prior: Prior) -> str:
    if isinstance(prior, CategoricalPrior):
        named = f": {', '.join(prior.labels)}" if prior.labels else ""
        return f"a class of {prior.classes}{named}"
    size = " x ".join(map(str, prior.shape)) or "one"
    drawn = "uniform" if isinstance(prior, UniformPrior) else prior.kind
    return f"{size} values, {drawn}"


def _list_settings(plan: Plan, dataset: Dataset) -> str:
    settings = plan.settings
    fixed = [f"{name} = {value}" for name, value in settings.conditions.items()]
    fixed += [f"{name} = {value}" for name, value in settings.options.items()]
    if settings.truncation is not None:
        fixed.append(f"truncation = {settings.truncation}")
    last = settings.start + settings.n - 1
    return "\n".join(
        [
            f"- bundle `{dataset.name}`, SHA-256 of its manifest `{settings.bundle}`",
            f"- seed {settings.seed}, samples {settings.start} to {last}",
            f"- set: {', '.join(fixed) if fixed else 'nothing, all was drawn from the priors'}",
            f"- {settings.precision} on {settings.backend}, {settings.batch} a pass",
            "- " + ", ".join(f"{name} {version}" for name, version in settings.versions.items()),
            f"- {plan.count} shards, each with its hash in `dataset.json`",
        ]
    )


_PATTERNS = {"parquet": "*.parquet", "webdataset": "*.tar", "png": "**"}

READERS = {
    "parquet": """```python
from datasets import load_dataset

dataset = load_dataset("parquet", data_files="data/*.parquet", split="train")
print(dataset[0]["{column}"])
```""",
    "webdataset": """```python
import glob
import webdataset

dataset = webdataset.WebDataset(sorted(glob.glob("data/*.tar")), shardshuffle=False).decode("pil")
print(next(iter(dataset))["{suffix}"])
```""",
    "png": """```python
from datasets import load_dataset

dataset = load_dataset("imagefolder", data_dir="data", split="train")
print(dataset[0]["image"])
```""",
    "npy": """```python
import glob
import numpy as np

shards = [np.load(path, mmap_mode="r") for path in sorted(glob.glob("data/*/{column}.npy"))]
print(shards[0][0])
```""",
}
