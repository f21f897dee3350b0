#!/bin/sh
# A flow in a container. Whatever restart policy it has restarts it for every exit code, as Docker knows no other way; but one
# that ended with 2 (wrong configuration) or 4 (unsafe to continue) must wait for a human. It is held: not run, unhealthy, until
# its container is made anew. The note of it lies in the container, so a restart finds it and a new container does not.
# Other commands than a flow run as they are.
set -u

case ${1-} in
    run | feed) ;;
    *) exec panda "$@" ;;
esac

ready=${PANDA_READY_FILE:-/tmp/ready}
held=${PANDA_HELD_FILE:-/tmp/held}
stopping=

hold() {
    echo "held: \`panda $flow\` ended with exit code $code and is not started again by itself" >&2
    echo "  -> put the reason right, then: docker compose --env-file .services/compose.env --profile flows up -d --force-recreate NAME" >&2
    sleep infinity &
    sleeper=$!
    trap 'kill "$sleeper"; exit "$code"' TERM INT
    wait "$sleeper"
}

flow=$*
rm -f "$ready" # of the process before
if [ -s "$held" ]; then
    code=$(cat "$held")
    hold
fi

panda "$@" &
child=$!
trap 'stopping=yes; kill -TERM "$child"' TERM INT
wait "$child"
code=$?
while kill -0 "$child" 2> /dev/null; do # a signal interrupts a wait, whose code is then not the flow's
    wait "$child"
    code=$?
done
if [ "$stopping" ]; then # the flow may have ended in the moment of the signal
    wait "$child"
    again=$?
    [ "$again" -eq 127 ] || code=$again
fi
trap - TERM INT
case $stopping$code in
    2 | 4)
        rm -f "$ready"
        echo "$code" > "$held"
        hold
        ;;
esac
exit "$code"
