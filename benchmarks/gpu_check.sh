#!/usr/bin/env bash
# What TensorRT makes of the sample models on this machine's GPU: one table. Installs nothing.
#
#     benchmarks/gpu_check.sh [python] [more arguments of gpu_check.py]
#
# Runs the gpu suite first, then the benchmark. Not yet run on a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-python3}"
[ $# -gt 0 ] && shift
export PYTHONPATH="cli:gen_export:runtimes:."
"$python" -m genx_cli doctor || true
if "$python" -c 'import pytest' 2>/dev/null; then
    "$python" -m pytest -q -m gpu tests/gpu || failed=1
else
    echo "pytest is not installed: the gpu suite was not run"
fi
"$python" benchmarks/gpu_check.py "$@"
exit "${failed:-0}"
