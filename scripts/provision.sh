#!/bin/sh
# Install what the tests need and pip cannot bring everywhere: nginx, HAProxy, Redis, Chromium, and PostgreSQL with
# Patroni and etcd, as Debian packages.
#
# Does nothing where they are there, where there is no apt-get, and for anybody but root. Never fails: a test that then
# misses one says so, with the command that provides it.
set -u

PATH="$PATH:/usr/sbin"
missing=
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v haproxy >/dev/null || missing="$missing haproxy"
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || missing="$missing redis-server"
command -v chromium >/dev/null || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v patroni >/dev/null || missing="$missing patroni python3-etcd"
command -v etcd >/dev/null || missing="$missing etcd-server"
if [ -z "$missing" ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    exit 0
fi

log=$(mktemp)
# Debian starts a server as soon as it is installed, unless this file forbids it.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=$policy
fi
trap 'rm -f "$log" $made' EXIT
trap 'exit 1' HUP INT TERM

echo "provision: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 - one word for each package
if ! { apt-get --quiet update && apt-get --quiet --yes -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    echo "provision: that failed; the tests that need them will say so" >&2
    tail -n 5 "$log" >&2
fi
exit 0
