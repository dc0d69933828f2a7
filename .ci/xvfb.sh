#!/usr/bin/env bash
# Run a command on a virtual screen of its own, with settings of its own:
#
#     bash .ci/xvfb.sh pytest tests/widgets
set -euo pipefail

if (( $# == 0 )); then
    echo "usage: bash $0 COMMAND [ARGUMENT ...]" >&2
    exit 2
fi
scratch=$(mktemp -d)
server=
cleanup() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap cleanup EXIT

# the server chooses a free display itself and writes its number as soon as it takes clients
mkfifo "$scratch/display"
Xvfb -displayfd 3 -screen 0 1600x1200x24 -nolisten tcp 3>"$scratch/display" >"$scratch/log" 2>&1 &
server=$!
if ! read -r -t 60 number <"$scratch/display"; then
    echo "$0: Xvfb did not start" >&2
    cat "$scratch/log" >&2
    exit 1
fi

mkdir -m 700 "$scratch/runtime"
export DISPLAY=":$number"
export QT_QPA_PLATFORM=xcb          # "offscreen" has no OpenGL, and napari draws with it
export LIBGL_ALWAYS_SOFTWARE=1
export NAPARI_CONFIG="$scratch/napari.yaml"
export XDG_RUNTIME_DIR="$scratch/runtime"
unset WAYLAND_DISPLAY

"$@"
