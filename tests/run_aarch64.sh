#!/usr/bin/env bash
# Runs the thin runtime's own tests as aarch64, under user-mode emulation; then verifies and samples
# there a bundle that was exported here, and compares its samples with this machine's own.
# docs/aarch64.md says what that proves. All it makes is in .aarch64; the system in it is kept.
#
# MIRROR: a Debian mirror; debootstrap's own if not given.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin" # where Debian keeps debootstrap, whoever asks
cd "$(dirname "$0")/.."

suite=bookworm # has Python 3.11
cpu=cortex-a76 # Armv8.2-A with dotprod, as the Cortex-A78AE of Jetson Orin
other_cpus=(cortex-a57 max) # without dotprod, as in Jetson Nano and TX2; with i8mm and SVE
here="$PWD/.aarch64"
native=.venv/bin/python
emulated="$here/python"
bundle=.aarch64/dcgan.genx

# Tests that cannot hold under emulation, each with its reason above it, as "--deselect=NODE".
deselected=()

fail() {
    echo "run_aarch64.sh: $*" >&2
    exit 1
}

say() {
    printf '\n[%d s] %s\n' "$SECONDS" "$*"
}

check_needs() {
    local missing=()
    [ "$(uname -m)" = x86_64 ] ||
        fail "this machine is $(uname -m), not x86_64; where it is aarch64 itself, run: make test-thin"
    [ -x "$native" ] || fail "there is no $native; run: make test-aarch64"
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v dpkg >/dev/null || missing+=(dpkg)
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
    [ ${#missing[@]} -eq 0 ] ||
        fail "${missing[*]} not installed; run as root: apt-get install --no-install-recommends ${missing[*]}"
}

# Debian's arm64 packages are unpacked and not configured, which would need root and binfmt.
unpack_system() {
    [ ! -e "$here/root/complete" ] || return 0
    rm -rf "$here/root" "$here/debs"
    mkdir -p "$here/root"
    debootstrap --download-only --arch=arm64 --variant=minbase --include=python3 \
        "$suite" "$here/debs" ${MIRROR:+"$MIRROR"} >"$here/debootstrap.log" 2>&1 ||
        fail "debootstrap: $(tail -n 1 "$here/debootstrap.log"); see .aarch64/debootstrap.log, or name another mirror: MIRROR=http://... make test-aarch64"
    local package
    for package in "$here"/debs/var/cache/apt/archives/*.deb; do
        dpkg -x "$package" "$here/root"
    done
    rm -rf "$here/debs"
    touch "$here/root/complete"
}

# The emulated Python takes this file for itself (sys.executable), so that what it starts is emulated too.
write_python() {
    cat >"$emulated" <<SH
#!/bin/sh
export PYTHONPATH="\${PYTHONPATH:+\$PYTHONPATH:}$here/site" PYTHONNOUSERSITE=1
exec qemu-aarch64-static -cpu "\${QEMU_CPU:-$cpu}" -L "$here/root" -0 "$emulated" "$here/root/usr/bin/python3.11" "\$@"
SH
    chmod +x "$emulated"
}

# Versions are those of constraints.txt for Python 3.10, which JetPack 6 has: later builds of
# onnxruntime crash under this emulator. The tests need what run_thin.sh installs for them.
install_genx() {
    sed -e 's/; python_version < "3.11"//' -e '/python_version >= "3.11"/d' constraints.txt >"$here/constraints.txt"
    rm -rf "$here/site"
    "$native" -m pip install --quiet --disable-pip-version-check --target "$here/site" \
        --python-version 3.11 --implementation cp --only-binary=:all: \
        --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_28_aarch64 \
        -c "$here/constraints.txt" . pytest hypothesis filelock
}

verify() {
    local python="$1" precision
    for precision in fp32 int8; do
        "$python" -m genx_cli verify "$bundle" --precision "$precision"
    done
}

sample() {
    local python="$1" machine="$2" precision ending
    for precision in fp32 int8; do
        for ending in npy png; do
            "$python" -m genx_cli sample "$bundle" --precision "$precision" -n 64 --seed 0 \
                --set label=balanced -o ".aarch64/$precision-$machine.$ending" --force --quiet
        done
    done
}

check_needs
mkdir -p "$here"
say "a system for aarch64 in .aarch64/root; genx and what it needs in .aarch64/site"
unpack_system
write_python
install_genx
"$emulated" tests/aarch64/describe.py

say "the thin runtime's own tests on aarch64, ${#deselected[@]} left out"
[ ${#deselected[@]} -eq 0 ] || printf '  %s\n' "${deselected[@]}"
"$emulated" -m pytest tests/runtimes -p no:cacheprovider -q --basetemp "$here/tmp" ${deselected[@]+"${deselected[@]}"}

say "export on x86-64"
"$native" -m genx_cli export samples/dcgan -o "$bundle" --precision fp32,int8 --form rewritten --force

say "verify and sample on x86-64"
verify "$native"
sample "$native" x86_64

say "verify and sample on aarch64 ($cpu)"
verify "$emulated"
sample "$emulated" aarch64

for other in "${other_cpus[@]}"; do
    say "verify on aarch64 ($other)"
    export QEMU_CPU="$other"
    "$emulated" tests/aarch64/describe.py
    verify "$emulated"
    unset QEMU_CPU
done

say "the samples of x86-64 and aarch64 compared"
"$native" tests/aarch64/compare.py .aarch64
say "passed"
