# Sourced by tests/run and server/quickstart: need_packages NAME... installs the Debian
# packages that are missing, as root or through sudo, and says so. Servers among them are
# not started: nobody asked for a second mail server on port 25.
need_packages() {
    local missing=() name sudo="" policy=/usr/sbin/policy-rc.d status=0
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "missing packages: ${missing[*]}; install them as root" >&2; return 1; }
        sudo=sudo
    fi
    echo "installing ${missing[*]}"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null 2>&1
    [ -e $policy ] && policy=""
    [ -z "$policy" ] || printf '#!/bin/sh\nexit 101\n' | $sudo install -m 755 /dev/stdin "$policy"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}" >/dev/null || status=1
    [ -z "$policy" ] || $sudo rm -f "$policy"
    [ $status = 0 ] || echo "apt-get could not install: ${missing[*]}" >&2
    return $status
}
