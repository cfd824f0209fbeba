"""Schemathesis on the server's own OpenAPI document: nothing it sends is answered with a 5xx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.serve.conftest import Server

# What schemathesis sends is described by the document, so that it also says whether the document
# is true: every status, media type and body is one that it tells.
CHECKS = (
    "not_a_server_error,status_code_conformance,"
    "content_type_conformance,response_schema_conformance"
)


@pytest.mark.parametrize("phase", ["examples", "coverage", "fuzzing"])
def test_no_request_is_answered_with_a_5xx(server: Server, tmp_path: Path, phase: str) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "run", f"{server.address}/openapi.json", "--phases", phase]
    command += ["--checks", CHECKS, "--max-examples", "25", "--generation-deterministic"]
    command += ["--exclude-path-regex", "/v2/repository/models/"]  # others need the models
    command += ["--suppress-health-check", "all"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.ask("GET", "/v2/health/ready").status == 200
