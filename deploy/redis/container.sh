#!/bin/sh
# Redis in a container: its users from users.acl and the passwords of the environment, of which only digests are written.
set -eu
umask 077
digest() { printf %s "$1" | sha256sum | cut -c1-64; }
sed -e "s/@ADMIN@/$(digest "$REDIS_ADMIN_PASSWORD")/" -e "s/@CACHE@/$(digest "$REDIS_CACHE_PASSWORD")/" \
    -e "s/@API@/$(digest "$REDIS_API_PASSWORD")/" "${PANDA_REDIS_USERS:-/panda/users.acl}" > "${TMPDIR:-/tmp}/users.acl"
exec redis-server --port "${PANDA_REDIS_PORT:-6379}" --dir "${PANDA_REDIS_DATA:-/data}" --aclfile "${TMPDIR:-/tmp}/users.acl" \
    --appendonly yes --save ""
