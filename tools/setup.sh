#!/bin/sh
# Everything that `make setup` does: a private uv, the locked virtual environment .venv, the local cloud's programs.
# Needs Python 3.11 or later with venv, and a Python package index. What is built lives in $XDG_CACHE_HOME/migrator.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
stamp=.venv/.synced

case "${XDG_CACHE_HOME:-}" in
/*) cache="$XDG_CACHE_HOME/migrator" ;;
*) cache="${HOME:?HOME is not set}/.cache/migrator" ;;
esac
uv="$cache/uv-$UV_VERSION/bin/uv"

say() { echo "setup: $*" >&2; }

find_python() {
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        # Asked to run, because a name on PATH can be a shim of a version that is not installed.
        if found=$("$name" -c '
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 15):
    sys.exit(1)
import ensurepip, venv
print(sys.executable)' 2>/dev/null); then
            echo "$found"
            return
        fi
    done
    say "no Python 3.11 to 3.14 with the modules venv and ensurepip was found on PATH."
    say "Install one (Debian and Ubuntu: python3 and python3-venv; macOS: brew install python), then try again."
    exit 1
}

# Company networks have their own certificate authority: the system's certificates count, unless told otherwise.
use_system_certificates() {
    export UV_SYSTEM_CERTS=1
    for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
        /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        if [ -z "${PIP_CERT:-}" ] && [ -r "$bundle" ] && [ -f "$bundle" ]; then
            export PIP_CERT="$bundle"
        fi
    done
}

bootstrap_uv() {
    [ -x "$uv" ] && return
    say "installing uv $UV_VERSION into $cache (once for this machine)"
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/uv-XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    "$python" -m venv "$scratch/venv"
    "$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        --target "$scratch/uv" "uv==$UV_VERSION"
    # Moved when it is whole, so that an interrupted installation leaves nothing half done.
    [ -x "$uv" ] || mv "$scratch/uv" "$cache/uv-$UV_VERSION"
    rm -rf "$scratch"
}

sync() {
    say "installing the locked dependencies into .venv"
    unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
    UV_PYTHON_DOWNLOADS=never "$uv" sync --locked --all-extras --python "$python"
    ln -sf "$uv" .venv/bin/uv
    touch "$stamp"
}

# PYTHONHOME and PYTHONPATH of another project would shadow what is installed here.
unset PYTHONHOME PYTHONPATH
use_system_certificates
if [ ! -x .venv/bin/python ] || [ ! -e "$stamp" ] || [ uv.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    python=$(find_python)
    say "using $python"
    bootstrap_uv
    sync
fi
exec .venv/bin/python -m localcloud prepare
