"""Which names of TensorRT the code uses, and whether a module has them.

As a program: python tensorrt_names.py MODULE < names.json prints those that MODULE lacks, as JSON.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

# What the code calls its objects, and TensorRT's classes for them; any of several may have a name.
_LAYERS = "ILayer IConvolutionLayer IDeconvolutionLayer IResizeLayer IActivationLayer"
OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "layer": _LAYERS,
    "maker": _LAYERS,
    "operand": "ITensor",
    "settings": "IRuntimeConfig",
    "kernels": "IRuntimeCache",
}
# Members that the code compares by name.
SPELT = (
    "ActivationType.CLIP",
    "ActivationType.LEAKY_RELU",
    "ActivationType.RELU",
    "ActivationType.SIGMOID",
    "ActivationType.TANH",
    "DataType.FLOAT",
    "DataType.HALF",
    "DataType.INT64",
    "DataType.INT8",
    "LayerType.ACTIVATION",
    "LayerType.CAST",
    "LayerType.CONSTANT",
    "LayerType.CONVOLUTION",
    "LayerType.DECONVOLUTION",
    "LayerType.GATHER",
    "LayerType.MATRIX_MULTIPLY",
    "LayerType.RESIZE",
    "LayerType.SHAPE",
)


def list_names(sources: Iterable[Path], objects: Iterable[str] = tuple(OBJECTS)) -> list[str]:
    """Return names such as "BuilderFlag.TF32", and "Builder|Other.method" for objects' members.

    Args:
        sources: Python files that call the module `trt`.
        objects: which of `OBJECTS` are TensorRT's in these files.
    """
    wanted = set(objects)
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            parts = _parts(node)
            if "trt" in parts[:-1]:
                found.add(".".join(parts[parts.index("trt") + 1 :]))
            elif len(parts) > 1 and parts[-2] in wanted:
                found.add(f"{OBJECTS[parts[-2]].replace(' ', '|')}.{parts[-1]}")
    return sorted(found)


def find_missing(module: object, names: Iterable[str]) -> Iterator[str]:
    """Yield the names that a module lacks."""
    for name in names:
        first, _, rest = name.partition(".")
        path = rest.split(".") if rest else []
        if not any(_has(module, [option, *path]) for option in first.split("|")):
            yield name


def _has(module: object, path: list[str]) -> bool:
    for part in path:
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _parts(node: ast.expr) -> list[str]:
    """Return a.b.c as its names; a call or index in front counts as nothing."""
    if isinstance(node, ast.Attribute):
        return [*_parts(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else [""]


if __name__ == "__main__":
    json.dump(list(find_missing(import_module(sys.argv[1]), json.load(sys.stdin))), sys.stdout)
