#!/bin/sh
# Make the secrets of compose.yaml in the folder `secrets` beside it. What is there stays as it is.
#
# Compose mounts each file as it is, and containers read it as users without a name on this machine. So the files can be
# read by everybody, and only their owner gets into the folder.
set -eu
umask 077

folder=$(dirname "$0")/secrets
mkdir -p "$folder"
chmod 700 "$folder"

random() {
    od -An -tx1 -N24 /dev/urandom | tr -d ' \n'
}

# put NAME: write standard input to a file, whole or not at all.
put() {
    cat >"$folder/.$1"
    chmod 444 "$folder/.$1"
    mv "$folder/.$1" "$folder/$1"
    echo "made secrets/$1"
}

# password NAME: give a password, the one that is there or a new one.
password() {
    [ -e "$folder/$1-password" ] || random | put "$1-password" >&2
    cat "$folder/$1-password"
}

password superuser >/dev/null
owner=$(password owner)
serve=$(password serve)
valkey=$(password valkey)
[ -e "$folder/owner-url" ] || printf 'postgresql://keywright_owner:%s@postgres/keywright' "$owner" | put owner-url
[ -e "$folder/serve-url" ] || printf 'postgresql://keywright_serve:%s@postgres/keywright' "$serve" | put serve-url
# The one user may do what counting needs, and nobody else may do anything.
[ -e "$folder/valkey.conf" ] || put valkey.conf <<CONF
user default off
user keywright on >$valkey ~keywright:* +eval +evalsha +time +mget +set
CONF
[ -e "$folder/redis-url" ] || printf 'redis://keywright:%s@valkey:6379/0' "$valkey" | put redis-url
