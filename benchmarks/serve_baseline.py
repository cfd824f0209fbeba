"""The server that one writes for a model without genx: one request, one run of the engine.

    python benchmarks/serve_baseline.py GENERATOR.onnx PORT

FastAPI, a plain `def` endpoint, onnxruntime with its own settings, Pillow; JSON in, PNG out.
FastAPI runs such endpoints in its threads, so that requests overlap. `benchmarks/serve.py` compares
with it.
"""

from __future__ import annotations

import io
import sys

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, Response
from PIL import Image
from pydantic import BaseModel


class Wanted(BaseModel):
    """What is sent."""

    seed: int
    label: int | None = None


def make_app(path: str) -> FastAPI:
    """Return the application that draws from samples/dcgan's generator."""
    app = FastAPI()
    session = ort.InferenceSession(path)
    (output,) = (value.name for value in session.get_outputs())

    @app.post("/sample")
    def sample(wanted: Wanted) -> Response:
        random = np.random.default_rng(wanted.seed)
        z = random.standard_normal((1, 64), dtype=np.float32)
        label = random.integers(10, size=1) if wanted.label is None else np.array([wanted.label])
        (images,) = session.run([output], {"z": z, "label": label.astype(np.int64)})
        pixels = ((images[0, 0] + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return Response(file.getvalue(), media_type="image/png")

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
