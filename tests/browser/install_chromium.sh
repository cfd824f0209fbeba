#!/usr/bin/env bash
# Installs Debian's Chromium for tests/browser where it is missing, we are root and there is apt. Never
# fails: without a Chromium those tests are skipped, and say so.
set -u
for name in "${GENX_CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium' >/dev/null 2>&1 && exit 0
fi
echo "there is no Chromium and it could not be installed: the pages of genx bench and genx serve are not tested" >&2
exit 0
