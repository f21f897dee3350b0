#!/bin/sh
# Kafka in a container: the broker of server.properties, with a listener for the host and one for the other containers.
# The users `admin` and `connect` are made with the data folder, before the first start; passwords come from the
# environment and are in no argument of any process.
set -eu
umask 077
libs=${KAFKA_LIBS:-/opt/kafka/libs} panda=${PANDA_FILES:-/panda} data=${KAFKA_DATA:-/var/lib/kafka/data/log} tmp=${TMPDIR:-/tmp}
host=${KAFKA_HOST_ADDRESS:-localhost:9092} inside=${KAFKA_INSIDE_ADDRESS:-kafka:19092} controller=${KAFKA_CONTROLLER_PORT:-29093}
bind=${KAFKA_BIND:-0.0.0.0} port=${KAFKA_PORT:-9092}
export KAFKA_DATA="$data" KAFKA_CONTROLLER_PORT="$controller" KAFKA_PORT="$port"

awk '{ gsub(/@ADMIN_PASSWORD@/, ENVIRON["KAFKA_ADMIN_PASSWORD"]); gsub(/@DATA@/, ENVIRON["KAFKA_DATA"])
       gsub(/@CONTROLLER_PORT@/, ENVIRON["KAFKA_CONTROLLER_PORT"]); gsub(/@KAFKA_PORT@/, ENVIRON["KAFKA_PORT"]); print }' \
    "$panda/server.properties" > "$tmp/server.properties"
cat >> "$tmp/server.properties" <<END
listeners=SASL_PLAINTEXT://$bind:$port,INSIDE://$bind:${inside##*:},CONTROLLER://127.0.0.1:$controller
advertised.listeners=SASL_PLAINTEXT://$host,INSIDE://$inside,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=CONTROLLER:SASL_PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,INSIDE:SASL_PLAINTEXT
inter.broker.listener.name=INSIDE
listener.name.inside.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$KAFKA_ADMIN_PASSWORD";
END
cat > "$tmp/admin.properties" <<END
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$KAFKA_ADMIN_PASSWORD";
END

run() { memory=$1; shift; exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Xmx$memory" \
    "-Dlog4j2.configurationFile=$panda/log4j2-console.properties" -cp "$libs/*" "$@"; }

if [ ! -e "$data/meta.properties" ]; then
    printf '%s\n' format --standalone -t "$(cat /proc/sys/kernel/random/uuid | tr -d - | cut -c1-22)" -c "$tmp/server.properties" \
        --ignore-formatted \
        --add-scram "SCRAM-SHA-512=[name=admin,password=$KAFKA_ADMIN_PASSWORD]" \
        --add-scram "SCRAM-SHA-512=[name=connect,password=$KAFKA_CONNECT_PASSWORD]" > "$tmp/format.arguments"
    (run 256m kafka.tools.StorageTool "@$tmp/format.arguments" > /dev/null)  # it prints the users' keys
    rm "$tmp/format.arguments"
fi
run "${KAFKA_HEAP:-512m}" kafka.Kafka "$tmp/server.properties"
