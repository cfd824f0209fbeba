#!/usr/bin/env bash
# Installs genx with no extras into a fresh environment for each Python version given, makes sure
# that torch and onnx are not in it, and runs the runtime's tests there. Says which versions were
# not found; fails if none was.
set -euo pipefail

find_python() { # a working python$1 on PATH, or one that pyenv has
    local candidate
    for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if [ -x "$candidate" ] && "$candidate" -c '' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

test_on() { # python version: make the environment, run the tests; all output at the end
    local python="$1" env=".venv-thin/$2"
    rm -rf "$env"
    "$python" -m venv "$env"
    local pip=("$env/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt)
    "${pip[@]}" .
    echo "python$2: genx and all it needs take $(du -sm "$env" | cut -f1) MB"
    "${pip[@]}" pytest hypothesis filelock # the last for building engines
    "$env/bin/python" - <<'PY'
from importlib.util import find_spec
banned = ("torch", "onnx", "onnx_ir", "onnxscript", "safetensors")
found = [name for name in banned if find_spec(name)]
assert not found, f"the thin environment holds {found}"
PY
    "$env/bin/python" -m pytest tests/runtimes -p no:cacheprovider -q
}

mkdir -p .venv-thin
running=()
for version in "$@"; do
    python="$(find_python "$version")"
    if [ -z "$python" ]; then
        echo "python$version is not here: not tested"
        continue
    fi
    (set -e; test_on "$python" "$version") >".venv-thin/$version.log" 2>&1 &
    running+=("$version:$!")
done
[ "${#running[@]}" -gt 0 ] || { echo "no other Python is here: the thin runtime was not tested" >&2; exit 1; }
failed=0
for each in "${running[@]}"; do
    wait "${each#*:}" || failed=1
    cat ".venv-thin/${each%%:*}.log"
done
exit "$failed"
