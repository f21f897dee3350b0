#!/bin/sh
# What the user `connect` must be allowed before its worker can start; the rest comes with `panda deploy apply`.
set -eu
umask 077
libs=${KAFKA_LIBS:-/opt/kafka/libs} panda=${PANDA_FILES:-/panda} tmp=${TMPDIR:-/tmp}
cat > "$tmp/rights.properties" <<END
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="$KAFKA_ADMIN_PASSWORD";
END
allow() { java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx128m "-Dlog4j2.configurationFile=$panda/log4j2-console.properties" \
    -cp "$libs/*" org.apache.kafka.tools.AclCommand --bootstrap-server "${KAFKA_INSIDE_ADDRESS:-kafka:19092}" \
    --command-config "$tmp/rights.properties" --add --allow-principal User:connect --resource-pattern-type prefixed "$@"; }
allow --operation Read --topic _connect. --group connect --group panda-connect
allow --operation Write --topic _connect. --transactional-id panda-connect --transactional-id connect-cluster-panda-connect
allow --operation Create --operation DescribeConfigs --topic _connect.
