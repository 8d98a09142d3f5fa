#!/bin/sh
# Install everything that the plugin needs on a Debian or Ubuntu machine: system packages, a running Docker engine, .venv.
# Every make target that needs the plugin calls this script first. The script does not change software that is already
# installed; it then takes a fraction of a second. With the argument `test`, it also installs the browser in which the
# tests open the reports.
set -eu
cd -- "$(dirname -- "$0")"
purpose=${1:-}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # dockerd and debootstrap are in directories that a user's PATH may lack

SOCKET=/var/run/docker.sock
ENGINE_LOG=/var/log/dockerd.log
STAMP=.venv/.setup # line 1: the directory in which .venv was created; line 2: the checksum of pyproject.toml

log='' # the file with apt-get's output
trap 'if [ -n "$log" ]; then rm -f "$log"; fi' EXIT

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
fail() { # print each argument as a line, and exit with 1
    {
        printf 'setup: '
        printf '%s\n' "$@"
    } >&2
    exit 1
}

# --- what is installed ------------------------------------------------------------------------------------------------

find_python() { # sets python to a Python that can create .venv; otherwise sets python_here to what was found
    python='' python_here=''
    for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        found=$("$candidate" -c 'import sys
state = "%d.%d is too old" % sys.version_info[:2]
if sys.version_info >= (3, 11):
    try:
        import ensurepip, venv
        state = "usable"
    except ImportError:
        state = "%d.%d has no venv" % sys.version_info[:2]
print(state)' 2>/dev/null) || continue
        if [ "$found" = usable ]; then
            python=$candidate
            return
        fi
        case $python_here in *'no venv'*) ;; *) python_here="${candidate##*/} $found" ;; esac
    done
}

choose_python_package() { # sets python_package to apt-get's package of a Python 3.11 or newer, or to ''
    for package in python3 python3.14 python3.13 python3.12 python3.11; do
        offered=$(LC_ALL=C apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)*3\.\([0-9]*\).*/\2/p')
        if [ "$package" = python3 ] && [ -z "$offered" ]; then
            python_package=python3-venv # without package lists, assume the default package
            return
        fi
        if [ "${offered:-0}" -ge 11 ]; then
            python_package=$package-venv
            return
        fi
        python_package=''
    done
    if [ -z "$python_package" ]; then
        python_here="${python_here:+$python_here, and }the packages of this OS release have no newer Python: use a newer OS release, or add a Python 3.11 to PATH"
    fi
}

venv_version() { # prints the version of .venv's Python if .venv is usable and was created in this directory
    if [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" != "$PWD" ]; then
        return 1 # the checkout was moved, and the scripts in .venv/bin contain the old path
    fi
    .venv/bin/python -c 'import pip, sys
assert sys.version_info >= (3, 11)
print(sys.version.split()[0])' 2>/dev/null
}

engine_version() { # prints the version of the Docker engine, if the engine responds
    host=${DOCKER_HOST:-unix://$SOCKET}
    if have docker; then # ignore the context of the docker client, as the plugin does
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
        echo unknown # no program that could ask the engine is installed yet
    else
        return 1
    fi
}

look_at_engine() { # sets engine: answers, elsewhere (DOCKER_HOST does not respond), denied, silent (not running), absent
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

needs() { # $1: the missing item, as shown to the user; further arguments: its Debian packages
    missing="$missing
  - $1"
    shift
    packages="$packages${*:+ $*}"
}

look_around() { # finds out what is missing; sets python, python_version, python_package, engine, missing, packages
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
    if [ "$purpose" = test ] && grep -qx 'ID=debian' /etc/os-release; then # elsewhere, Chromium is not a package
        have chromium || needs 'Chromium, for the tests of the reports' chromium
    fi
    look_at_engine
    case $engine in
        absent) needs 'a Docker engine' docker.io iptables iproute2 ;;
        silent) have iptables || needs 'iptables, for the Docker engine' iptables ;;
    esac
}

# --- what is missing --------------------------------------------------------------------------------------------------

become_root() { # sets as_root to the prefix that runs a command as root; returns false if the user cannot become root
    as_root=''
    [ "$(id -u)" -ne 0 ] || return 0
    have sudo || return 1
    as_root=sudo
    sudo -n true 2>/dev/null && return 0
    [ -t 0 ] || return 1
    say "$1 needs root: sudo may ask for your password"
    sudo -v
}

list_missing() { # $1: why the missing items cannot be installed
    {
        printf 'setup: the following is missing, and %s:%s\n' "$1" "$missing"
        if [ -n "$packages" ]; then
            if have apt-get; then
                echo 'Run as root:'
            else
                echo "Install it with this system's package manager. On Debian, the command would be:"
            fi
            echo "  apt-get update && apt-get install -y --no-install-recommends$packages"
        fi
        case $engine in
            silent) echo 'Then start the engine, as root: systemctl start docker (or: service docker start)' ;;
            denied) explain_denied ;;
        esac
        echo 'Then run make again.'
    } >&2
    exit 1
}

explain_denied() {
    user=$(id -un)
    if id -nG "$user" | grep -qw docker; then
        echo "$user was added to the group docker after this login. Log in again, or continue in a new shell: newgrp docker"
    else
        echo "$user may not use the Docker engine at $SOCKET. Run as root: usermod -aG docker $user"
        echo "Then log in again, or continue in a new shell: newgrp docker"
    fi
}

apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

install_packages() {
    have apt-get || list_missing 'this system has no apt-get to install it with'
    become_root "installing$packages" || list_missing 'the installation needs root or sudo'
    log=$(mktemp)
    say "updating the package lists (some seconds)"
    apt_get update || true # a broken package source may not matter; if it does, the installation fails
    look_around # with the updated package lists
    if [ -z "$python$python_package" ]; then
        list_missing 'apt-get offers no Python 3.11 or newer'
    fi
    case $engine in
        absent | silent) writable_cgroups ;;
    esac
    if [ "$engine" = absent ] && LC_ALL=C apt-cache policy docker-cli 2>/dev/null | grep -q 'Candidate: [^(]'; then
        packages="$packages docker-cli" # in newer OS releases, the client is a separate package
    fi
    say "installing$packages (one to three minutes)"
    # shellcheck disable=SC2086 # $packages is a list of words
    if ! apt_get install -y --no-install-recommends $packages; then
        tail -n 20 "$log" >&2
        fail 'apt-get could not install the packages. Its last messages are above. Fix the problem and run make again.'
    fi
    look_around
    [ -z "$missing" ] || list_missing 'the installed packages do not contain it'
}

# --- the engine -------------------------------------------------------------------------------------------------------

writable_cgroups() { # in a container without systemd, cgroups may be mounted read-only: make them writable for the engine
    if [ -d /run/systemd/system ] || [ ! -r /proc/mounts ]; then
        return
    fi
    awk '$3 ~ /^cgroup2?$/ && $4 ~ /^ro(,|$)/ { print $2 }' /proc/mounts | while read -r mount_point; do
        $as_root mount -o remount,bind,rw,nosuid,nodev,noexec "$mount_point" 2>/dev/null || true
    done
}

engine_comes_up() { # waits for the engine. $1: timeout in seconds; $2: process of the engine: if it ends, stop waiting
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
    have dockerd || fail "no Docker engine listens at $SOCKET. Install one as root: apt-get install docker.io"
    become_root 'starting the Docker engine' ||
        fail 'the Docker engine is not running, and starting it needs root or sudo. Run as root:' \
            '  systemctl start docker (or: service docker start)' 'Then run make again.'
    say 'starting the Docker engine (some seconds)'
    writable_cgroups
    if [ -d /run/systemd/system ]; then
        if $as_root systemctl start docker 2>/dev/null && engine_comes_up 60; then
            return
        fi
        $as_root journalctl --no-pager -n 40 -o cat -u docker | grep -v level=info | tail -n 8 >&2 || true
        fail 'the Docker engine does not start. Its last messages are above. Fix the problem and run make again.'
    fi
    if [ -x /etc/init.d/docker ] && have service; then
        if $as_root service docker start >/dev/null 2>&1 </dev/null && engine_comes_up 15; then
            return
        fi
    fi
    # Without an init system, start dockerd directly. Detach dockerd from the terminal and close the inherited file
    # descriptors: otherwise make, and any program that reads make's output, would wait until dockerd ends.
    # shellcheck disable=SC2016 # the inner shell expands $1 and $!
    pid=$($as_root sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        setsid dockerd </dev/null >>"$1" 2>&1 & echo $!' sh "$ENGINE_LOG")
    if engine_comes_up 60 "$pid" || engine_comes_up 3; then
        return
    fi
    $as_root tail -n 40 "$ENGINE_LOG" | grep -v level=info | tail -n 5 | cut -c 1-300 >&2
    fail "the Docker engine does not start. Its last messages are above; all messages are in $ENGINE_LOG." \
        'In a container, the engine needs additional privileges (mounts, network, writable cgroups).' \
        'For real boards, an engine on another machine is enough (DOCKER_HOST); emulated boards need one on this machine.' \
        'Then run make again.'
}

# --- the environment --------------------------------------------------------------------------------------------------

filled() { # whether .venv was filled from the current pyproject.toml
    [ "$(cat "$STAMP" 2>/dev/null)" = "$PWD
$pyproject" ]
}

fill_venv() {
    if python_version=$(venv_version); then
        ! filled || return 0 # another process has just filled .venv
        say 'updating the Python packages in .venv (up to a minute)'
    else
        say 'creating .venv with the Python packages (about a minute)'
        "$python" -m venv --clear .venv
        printf '%s\n' "$PWD" >"$STAMP"
    fi
    if ! .venv/bin/python -c 'import pip, sys
sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))'; then
        .venv/bin/python -m pip install -q --upgrade pip # older versions have no editable mode for this project
    fi
    if ! .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'; then
        fail 'pip could not install the Python packages. Its messages are above. Fix the problem and run make again.'
    fi
    printf '%s\n%s\n' "$PWD" "$pyproject" >"$STAMP"
}

# ----------------------------------------------------------------------------------------------------------------------

look_around
if [ "$engine" = elsewhere ]; then
    fail "no Docker engine responds at DOCKER_HOST=$DOCKER_HOST. Start it, or unset DOCKER_HOST to use this machine's engine."
fi
if [ -n "$missing" ]; then
    install_packages
fi
if [ "$engine" = silent ] || [ "$engine" = absent ]; then
    start_engine
fi
if [ "$engine" = denied ]; then
    fail "$(explain_denied)" 'Then run make again.'
fi

pyproject=$(sha256sum <pyproject.toml)
if [ "$python" != .venv/bin/python ] || ! filled; then
    if have flock; then
        { flock 9; fill_venv; } 9<setup.sh # only one process at a time fills .venv
    else
        fill_venv
    fi
    python_version=$(venv_version)
fi
say "ready (Python $python_version, Docker $docker_version)"
