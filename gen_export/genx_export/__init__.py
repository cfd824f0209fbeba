"""The torch side of genx: turns a trained model into a bundle.

from genx_export import export

report = export("samples/dcgan", "dcgan.genx")
"""

from __future__ import annotations

from genx_export.export import export
from genx_export.model import ModelSpec
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_export.quantize import quantize
from genx_export.report import ExportReport

__all__ = ["ExportReport", "ModelSpec", "QuantisationRecipe", "export", "quantize"]
