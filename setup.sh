#!/bin/sh
# Brings a Debian or Ubuntu machine to where the plugin runs: system packages, a Docker engine that answers, .venv.
# `make setup` calls it before everything else, so what is there is left alone and costs a fraction of a second.
# With the word `test` it also brings the browser in which the tests open the reports.
set -eu
cd -- "$(dirname -- "$0")"
purpose=${1:-}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where a plain user's PATH does not look: dockerd, debootstrap

SOCKET=/var/run/docker.sock
ENGINE_LOG=/var/log/dockerd.log
STAMP=.venv/.setup # line 1: where .venv was made; line 2: the pyproject.toml that it was filled from

log='' # what apt-get says
trap 'if [ -n "$log" ]; then rm -f "$log"; fi' EXIT

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
fail() { # a line an argument
    {
        printf 'setup: '
        printf '%s\n' "$@"
    } >&2
    exit 1
}

# --- what is there ----------------------------------------------------------------------------------------------------

find_python() { # sets python to one that can make the environment, or python_here to the best that cannot
    python='' python_here=''
    for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        found=$("$candidate" -c 'import sys
state = "%d.%d is too old" % sys.version_info[:2]
if sys.version_info >= (3, 11):
    try:
        import ensurepip, venv
        state = "fits"
    except ImportError:
        state = "%d.%d has no venv" % sys.version_info[:2]
print(state)' 2>/dev/null) || continue
        if [ "$found" = fits ]; then
            python=$candidate
            return
        fi
        case $python_here in *'no venv'*) ;; *) python_here="${candidate##*/} $found" ;; esac
    done
}

choose_python_package() { # sets python_package to what brings a Python that fits, as far as apt-get knows; else to nothing
    for package in python3 python3.14 python3.13 python3.12 python3.11; do
        offered=$(LC_ALL=C apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)*3\.\([0-9]*\).*/\2/p')
        if [ "$package" = python3 ] && [ -z "$offered" ]; then
            python_package=python3-venv # no lists of packages here, so hope for the usual
            return
        fi
        if [ "${offered:-0}" -ge 11 ]; then
            python_package=$package-venv
            return
        fi
        python_package=''
    done
    if [ -z "$python_package" ]; then
        python_here="${python_here:+$python_here, and }this release's packages have none: take a newer release, or put one on PATH"
    fi
}

venv_version() { # prints the version of .venv's Python if .venv is whole and was made here
    if [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" != "$PWD" ]; then
        return 1 # the checkout has moved, and the scripts in .venv/bin name the old place
    fi
    .venv/bin/python -c 'import pip, sys
assert sys.version_info >= (3, 11)
print(sys.version.split()[0])' 2>/dev/null
}

engine_version() { # prints the version of the engine that answers
    host=${DOCKER_HOST:-unix://$SOCKET}
    if have docker; then # not the context that the client may be set to: the plugin does not go by it either
        DOCKER_HOST=$host timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null
    elif [ -n "$python" ]; then
        "$python" - "$host" 2>/dev/null <<'PYTHON'
import http.client, json, socket, sys, urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
engine = http.client.HTTPConnection(url.hostname or "localhost", url.port or 2375, timeout=20)
if url.scheme == "unix":
    engine.sock = socket.socket(socket.AF_UNIX)
    engine.sock.settimeout(20)
    engine.sock.connect(url.path)
engine.request("GET", "/version")
print(json.load(engine.getresponse())["Version"])
PYTHON
    elif [ -z "${DOCKER_HOST:-}" ] && [ -S "$SOCKET" ] && [ -w "$SOCKET" ]; then
        echo unknown # nothing here can ask yet
    else
        return 1
    fi
}

look_at_engine() { # sets engine: answers, elsewhere (and silent), denied, silent, absent
    if docker_version=$(engine_version); then
        engine=answers
    elif [ "${DOCKER_HOST:-unix://$SOCKET}" != "unix://$SOCKET" ]; then
        engine=elsewhere
    elif [ -S "$SOCKET" ] && [ ! -w "$SOCKET" ]; then
        engine=denied
    elif have dockerd; then
        engine=silent
    else
        engine=absent
    fi
}

needs() { # $1: what, for people; the rest: its Debian packages
    missing="$missing
  - $1"
    shift
    packages="$packages${*:+ $*}"
}

look_around() { # sets python, python_version, python_package, engine, missing, packages
    missing='' packages='' python_package=''
    if python_version=$(venv_version); then
        python=.venv/bin/python
    else
        find_python
        if [ -z "$python" ]; then
            choose_python_package
            needs "Python 3.11 or newer with venv${python_here:+ ($python_here)}" "$python_package"
        fi
    fi
    have ab || needs 'ab, the load generator' apache2-utils
    { have ssh && have ssh-keygen; } || needs 'ssh and ssh-keygen' openssh-client
    have debootstrap || needs debootstrap debootstrap
    if have apt-get && [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
        needs "Debian's archive keys, for debootstrap" debian-archive-keyring
    fi
    have gpgv || needs 'gpgv, for debootstrap' gpgv
    have setpriv || needs setpriv util-linux
    if [ ! -e /etc/ssl/certs/ca-certificates.crt ] && [ ! -d /etc/pki/tls/certs ]; then
        needs 'CA certificates' ca-certificates
    fi
    if [ "$purpose" = test ] && grep -qx 'ID=debian' /etc/os-release; then # elsewhere it is no package: they skip
        have chromium || needs 'Chromium, for the tests of the reports' chromium
    fi
    look_at_engine
    case $engine in
        absent) needs 'a Docker engine' docker.io iptables iproute2 ;;
        silent) have iptables || needs 'iptables, for the Docker engine' iptables ;;
    esac
}

# --- what is missing --------------------------------------------------------------------------------------------------

become_root() { # sets as_root to what goes before a command; false when there is no way
    as_root=''
    [ "$(id -u)" -ne 0 ] || return 0
    have sudo || return 1
    as_root=sudo
    sudo -n true 2>/dev/null && return 0
    [ -t 0 ] || return 1
    say "$1 takes root: sudo may ask for your password"
    sudo -v
}

list_missing() { # $1: why it is not installed
    {
        printf 'setup: this machine lacks the following, and %s:%s\n' "$1" "$missing"
        if [ -n "$packages" ]; then
            if have apt-get; then
                echo 'As root:'
            else
                echo "Install it with this system's package manager. Debian's names for it, with its command:"
            fi
            echo "  apt-get update && apt-get install -y --no-install-recommends$packages"
        fi
        case $engine in
            silent) echo 'Then start the engine, as root: systemctl start docker (or: service docker start)' ;;
            denied) explain_denied ;;
        esac
        echo 'Then call make again.'
    } >&2
    exit 1
}

explain_denied() {
    user=$(id -un)
    if id -nG "$user" | grep -qw docker; then
        echo "$user has joined the group docker since this login. Log in again, or go on in: newgrp docker"
    else
        echo "$user may not use the Docker engine at $SOCKET. As root: usermod -aG docker $user"
        echo "Then log in again, or go on in: newgrp docker"
    fi
}

apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

install_packages() {
    have apt-get || list_missing 'it has no apt-get to install it with'
    become_root "installing$packages" || list_missing 'installing it takes root or sudo'
    log=$(mktemp)
    say "looking up packages (some seconds)"
    apt_get update || true # one broken source need not matter; if it does, installing fails
    look_around # apt-get knows more now
    if [ -z "$python$python_package" ]; then
        list_missing 'apt-get has no Python that fits'
    fi
    case $engine in
        absent | silent) writable_cgroups ;;
    esac
    if [ "$engine" = absent ] && LC_ALL=C apt-cache policy docker-cli 2>/dev/null | grep -q 'Candidate: [^(]'; then
        packages="$packages docker-cli" # newer releases have the client apart
    fi
    say "installing$packages (one to three minutes)"
    # shellcheck disable=SC2086 # a list of words
    if ! apt_get install -y --no-install-recommends $packages; then
        tail -n 20 "$log" >&2
        fail 'apt-get could not install the packages. What it said last is above; mend that and call make again.'
    fi
    look_around
    [ -z "$missing" ] || list_missing 'the packages installed did not bring it'
}

# --- the engine -------------------------------------------------------------------------------------------------------

writable_cgroups() { # a container without an init may have its cgroups mounted read-only: an engine needs to write there
    if [ -d /run/systemd/system ] || [ ! -r /proc/mounts ]; then
        return
    fi
    awk '$3 ~ /^cgroup2?$/ && $4 ~ /^ro(,|$)/ { print $2 }' /proc/mounts | while read -r mount_point; do
        $as_root mount -o remount,bind,rw,nosuid,nodev,noexec "$mount_point" 2>/dev/null || true
    done
}

engine_comes_up() { # $1: seconds; $2: a process to give up with
    waited=0
    while [ "$waited" -lt "$1" ]; do
        look_at_engine
        case $engine in answers | denied) return 0 ;; esac
        if [ -n "${2:-}" ] && ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$2/status" 2>/dev/null; then
            return 1
        fi
        sleep 1
        waited=$((waited + 1))
    done
    return 1
}

start_engine() {
    have dockerd || fail "no engine listens at $SOCKET. Install one, as root: apt-get install docker.io"
    become_root 'starting the Docker engine' ||
        fail 'the Docker engine is not running, and starting it takes root or sudo. As root:' \
            '  systemctl start docker (or: service docker start)' 'Then call make again.'
    say 'starting the Docker engine (some seconds)'
    writable_cgroups
    if [ -d /run/systemd/system ]; then
        if $as_root systemctl start docker 2>/dev/null && engine_comes_up 60; then
            return
        fi
        $as_root journalctl --no-pager -n 40 -o cat -u docker | grep -v level=info | tail -n 8 >&2 || true
        fail 'the Docker engine does not start. Its last messages are above; mend that and call make again.'
    fi
    if [ -x /etc/init.d/docker ] && have service; then
        if $as_root service docker start >/dev/null 2>&1 </dev/null && engine_comes_up 15; then
            return
        fi
    fi
    # By hand, where there is no init. Detached from everything, or make and whoever reads its output would wait for it.
    # shellcheck disable=SC2016 # the inner shell expands it
    pid=$($as_root sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        setsid dockerd </dev/null >>"$1" 2>&1 & echo $!' sh "$ENGINE_LOG")
    if engine_comes_up 60 "$pid" || engine_comes_up 3; then
        return
    fi
    $as_root tail -n 40 "$ENGINE_LOG" | grep -v level=info | tail -n 5 | cut -c 1-300 >&2
    fail "the Docker engine does not start. Its last messages are above, the rest in $ENGINE_LOG." \
        'In a container it needs more rights than usual (mounts, network, writable cgroups).' \
        'An engine elsewhere (DOCKER_HOST) will do for real boards only: an emulated one runs on this machine.' \
        'Then call make again.'
}

# --- the environment --------------------------------------------------------------------------------------------------

filled() { [ "$(cat "$STAMP" 2>/dev/null)" = "$PWD
$pyproject" ]; }

fill_venv() {
    if python_version=$(venv_version); then
        ! filled || return 0 # somebody else has just done it
        say 'updating the Python packages in .venv (up to a minute)'
    else
        say 'making .venv with the Python packages (about a minute)'
        "$python" -m venv --clear .venv
        printf '%s\n' "$PWD" >"$STAMP"
    fi
    if ! .venv/bin/python -c 'import pip, sys
sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))'; then
        .venv/bin/python -m pip install -q --upgrade pip # older ones cannot install this project editable
    fi
    if ! .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'; then
        fail 'pip could not install the Python packages. What it said is above; mend that and call make again.'
    fi
    printf '%s\n%s\n' "$PWD" "$pyproject" >"$STAMP"
}

# ----------------------------------------------------------------------------------------------------------------------

look_around
if [ "$engine" = elsewhere ]; then
    fail "no engine answers at DOCKER_HOST=$DOCKER_HOST. Start it, or unset DOCKER_HOST to use one on this machine."
fi
if [ -n "$missing" ]; then
    install_packages
fi
if [ "$engine" = silent ] || [ "$engine" = absent ]; then
    start_engine
fi
if [ "$engine" = denied ]; then
    fail "$(explain_denied)" 'Then call make again.'
fi

pyproject=$(sha256sum <pyproject.toml)
if [ "$python" != .venv/bin/python ] || ! filled; then
    if have flock; then
        { flock 9; fill_venv; } 9<setup.sh # one at a time in a checkout
    else
        fill_venv
    fi
    python_version=$(venv_version)
fi
say "ready (Python $python_version, Docker $docker_version)"
