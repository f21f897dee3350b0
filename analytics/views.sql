-- Views over the lake, for `panda sql`, the API and any DuckDB from 2.0 on:
--
--     duckdb -cmd "SET VARIABLE lake = '.panda/lake'" -cmd ".read analytics/views.sql"
--
-- Every view shows an event once, however often it lies on the log (by its id). Money is DECIMAL(18,6) in rupees,
-- times are TIMESTAMP in UTC, `date` is the date in India: give it, and other days' files are not opened. A value that
-- does not fit its column is NULL there: one odd record must not hide all others.

CREATE OR REPLACE MACRO money(text) AS TRY_CAST(text AS DECIMAL(18, 6));

-- Money over a quantity, to the micro-rupee, half up, as Redis has it: divided as whole numbers, as `/` makes a DOUBLE.
CREATE OR REPLACE MACRO money_each(total, quantity) AS CAST(
    TRY_CAST((2 * CAST(total * 1000000 AS HUGEINT) + quantity) // (2 * nullif(quantity, 0)) AS DECIMAL(18, 0)) * 0.000001
    AS DECIMAL(18, 6)
);

-- A time in microseconds since the epoch; beyond the years 2000 to 2100 it is none, as for the archive.
CREATE OR REPLACE MACRO moment(text) AS CASE
    WHEN TRY_CAST(text AS BIGINT) BETWEEN 946684800000000 AND 4102444799999999 THEN make_timestamp(TRY_CAST(text AS BIGINT))
END;

-- A payload of an earlier version as one of today's: what `functions/versions.py` does, said in SQL. No type has had one yet;
-- WHEN type = '…' AND version = 1 THEN … comes here with the first. A test holds the two equal.
CREATE OR REPLACE MACRO brought_up(type, version, data) AS data;

-- The records of all topics but ticks. Nobody has to have written any: the second half has no rows, but all columns.
CREATE OR REPLACE MACRO records_of(topic_pattern) AS TABLE
SELECT topic, partition, "offset", key, id, type, timestamp, correlation_id, causation_id, version, data, raw, headers,
    broker, source, date
FROM (
    SELECT * FROM read_parquet(
        getvariable('lake') || '/' || topic_pattern || '/*/*.parquet', hive_types = {'date': DATE}, allow_empty = true
    )
    UNION ALL BY NAME SELECT NULL::VARCHAR AS topic, NULL::INTEGER AS partition, NULL::BIGINT AS "offset",
        NULL::VARCHAR AS key, NULL::VARCHAR AS id, NULL::VARCHAR AS type, NULL::TIMESTAMP AS timestamp,
        NULL::VARCHAR AS correlation_id, NULL::VARCHAR AS causation_id, NULL::INTEGER AS version,
        NULL::VARCHAR AS data, NULL::BLOB AS raw,
        NULL::VARCHAR AS headers, NULL::VARCHAR AS broker, NULL::VARCHAR AS source, NULL::DATE AS date
    WHERE false
);

-- An event's copies lie under one date and time: a condition on them reaches the files through the window.
CREATE OR REPLACE MACRO events_of(topic_pattern, event_type) AS TABLE
SELECT split_part(topic, '.', 1) AS topic_broker, * REPLACE (brought_up(type, version, data) AS data)
FROM records_of(topic_pattern)
WHERE type = event_type AND data IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY date, timestamp, id ORDER BY topic, partition, "offset") = 1;

-- --- the market ------------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW ticks AS
SELECT timestamp, instrument_token, last_price, volume_traded, oi, bid, ask, bid_quantity, ask_quantity, session,
    sequence, depth, id, partition, "offset", date
FROM (
    SELECT * FROM read_parquet(
        getvariable('lake') || '/market.ticks/*/*.parquet', hive_types = {'date': DATE}, allow_empty = true
    )
    UNION ALL BY NAME SELECT NULL::INTEGER AS partition, NULL::BIGINT AS "offset", NULL::VARCHAR AS id,
        NULL::TIMESTAMP AS timestamp, NULL::BIGINT AS instrument_token, NULL::DOUBLE AS last_price,
        NULL::BIGINT AS volume_traded, NULL::BIGINT AS oi, NULL::DOUBLE AS bid, NULL::DOUBLE AS ask,
        NULL::BIGINT AS bid_quantity, NULL::BIGINT AS ask_quantity, NULL::BIGINT AS session, NULL::BIGINT AS sequence,
        NULL::VARCHAR AS depth, NULL::DATE AS date
    WHERE false
)
WHERE id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY date, instrument_token, timestamp, id ORDER BY partition, "offset") = 1;

CREATE OR REPLACE VIEW clocks AS
SELECT timestamp, TRY_CAST(data->>'session' AS BIGINT) AS session, TRY_CAST(data->>'sequence' AS BIGINT) AS sequence,
    id, date
FROM events_of('market.clock', 'market_clock');

CREATE OR REPLACE VIEW quality AS
SELECT timestamp, data->>'kind' AS kind, TRY_CAST(data->>'count' AS BIGINT) AS count, data->>'detail' AS detail,
    TRY_CAST(data->>'instrument_token' AS BIGINT) AS instrument_token,
    moment(data->>'first_timestamp') AS first_timestamp,
    moment(data->>'last_timestamp') AS last_timestamp, id, date
FROM events_of('market.quality', 'quality_report');

-- --- signals ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW signals AS
SELECT timestamp, topic_broker AS broker, data->>'signal_id' AS signal_id, data->>'strategy' AS strategy,
    TRY_CAST(data->>'instrument_token' AS BIGINT) AS instrument_token, data->>'side' AS side,
    TRY_CAST(data->>'quantity' AS BIGINT) AS quantity, data->>'kind' AS kind, data->>'product' AS product,
    TRY_CAST(data->>'price' AS DOUBLE) AS price, TRY_CAST(data->>'limit_price' AS DOUBLE) AS limit_price,
    TRY_CAST(data->>'trigger_price' AS DOUBLE) AS trigger_price, id, correlation_id, causation_id, date
FROM events_of('*.signals.raw', 'trading_signal');

CREATE OR REPLACE VIEW validated AS
SELECT timestamp, topic_broker AS broker, data->>'signal_id' AS signal_id, data->>'account' AS account,
    data->>'strategy' AS strategy, TRY_CAST(data->>'instrument_token' AS BIGINT) AS instrument_token,
    data->>'side' AS side, TRY_CAST(data->>'quantity' AS BIGINT) AS quantity, data->>'order_id' AS order_id, id,
    correlation_id, causation_id, date
FROM events_of('*.signals.validated', 'signal_validated');

-- One row for each rule that refused: a signal that two rules refuse has two.
CREATE OR REPLACE VIEW rejections AS
SELECT timestamp, broker, signal_id, account, strategy, instrument_token, side, quantity, reason.rule AS rule,
    reason."limit" AS "limit", reason.observed AS observed, id, correlation_id, causation_id, date
FROM (
    SELECT timestamp, topic_broker AS broker, data->>'signal_id' AS signal_id, data->>'account' AS account,
        data->>'strategy' AS strategy, TRY_CAST(data->>'instrument_token' AS BIGINT) AS instrument_token,
        data->>'side' AS side, TRY_CAST(data->>'quantity' AS BIGINT) AS quantity,
        unnest(from_json(data->'reasons', '[{"rule": "VARCHAR", "limit": "VARCHAR", "observed": "VARCHAR"}]')) AS reason,
        id, correlation_id, causation_id, date
    FROM events_of('*.signals.rejected', 'signal_rejected')
);

-- --- orders ----------------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW fills AS
SELECT timestamp, topic_broker AS broker, data->>'order_id' AS order_id, data->>'account' AS account,
    data->>'strategy' AS strategy, TRY_CAST(data->>'instrument_token' AS BIGINT) AS instrument_token,
    data->>'tradingsymbol' AS tradingsymbol, data->>'side' AS side, TRY_CAST(data->>'quantity' AS BIGINT) AS quantity,
    TRY_CAST(data->>'remaining' AS BIGINT) AS remaining, money(data->>'price') AS price, money(data->>'value') AS value,
    money(data->>'charges') AS charges, money(data->>'realised_pnl') AS realised_pnl,
    TRY_CAST(data->>'position' AS BIGINT) AS position, money(data->>'average_price') AS average_price,
    money(data->>'slippage') AS slippage, id, correlation_id, causation_id, date
FROM events_of('*.orders.filled', 'order_filled');

-- One row for each order, with how far it has come; the same words as the API.
CREATE OR REPLACE VIEW orders AS
WITH told AS (
    SELECT * FROM events_of('*.orders.submitted', 'order_submitted')
    UNION ALL SELECT * FROM events_of('*.orders.ack', 'order_ack')
    UNION ALL SELECT * FROM events_of('*.orders.placed', 'order_placed')
    UNION ALL SELECT * FROM events_of('*.orders.filled', 'order_filled')
    UNION ALL SELECT * FROM events_of('*.orders.failed', 'order_failed')
), summed AS (
    SELECT topic_broker AS broker, data->>'order_id' AS order_id, any_value(data->>'account') AS account,
        any_value(data->>'strategy') AS strategy,
        any_value(TRY_CAST(data->>'instrument_token' AS BIGINT)) AS instrument_token,
        any_value(data->>'tradingsymbol') AS tradingsymbol, any_value(data->>'exchange') AS exchange,
        any_value(data->>'side') AS side,
        any_value(TRY_CAST(data->>'quantity' AS BIGINT)) FILTER (type = 'order_submitted') AS quantity,
        any_value(data->>'kind') AS kind, any_value(data->>'product') AS product,
        any_value(TRY_CAST(data->>'limit_price' AS DOUBLE)) AS limit_price,
        any_value(TRY_CAST(data->>'trigger_price' AS DOUBLE)) AS trigger_price,
        any_value(data->>'signal_id') AS signal_id,
        coalesce(
            any_value(data->>'broker_order_id') FILTER (type = 'order_placed'), any_value(data->>'broker_order_id')
        ) AS broker_order_id,
        coalesce(sum(TRY_CAST(data->>'quantity' AS BIGINT)) FILTER (type = 'order_filled'), 0) AS filled_quantity,
        sum(money(data->>'value')) FILTER (type = 'order_filled') AS filled_value,
        coalesce(sum(money(data->>'charges')) FILTER (type = 'order_filled'), 0) AS charges,
        min(TRY_CAST(data->>'remaining' AS BIGINT)) AS remaining, any_value(data->>'reason') AS reason,
        bool_or(type = 'order_placed') AS placed, bool_or(type = 'order_ack') AS acknowledged,
        min(timestamp) FILTER (type = 'order_submitted') AS submitted_at, max(timestamp) AS updated_at,
        min(date) AS date
    FROM told GROUP BY topic_broker, data->>'order_id'
)
SELECT order_id, broker, account, strategy, instrument_token, tradingsymbol, exchange, side, quantity, kind, product,
    limit_price, trigger_price,
    CASE
        WHEN reason IS NOT NULL THEN 'failed'
        WHEN filled_quantity > 0 AND remaining = 0 THEN 'filled'
        WHEN filled_quantity > 0 THEN 'partially_filled'
        WHEN placed THEN 'placed'
        WHEN acknowledged THEN 'acknowledged'
        ELSE 'submitted'
    END AS status,
    TRY_CAST(filled_quantity AS BIGINT) AS filled_quantity, coalesce(remaining, quantity) AS remaining,
    money_each(filled_value, filled_quantity) AS average_price,
    TRY_CAST(charges AS DECIMAL(18, 6)) AS charges, reason, signal_id, broker_order_id, submitted_at, updated_at, date
FROM summed;

-- --- accounts --------------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW pnl AS
SELECT timestamp, topic_broker AS broker, data->>'account' AS account, money(data->>'cash') AS cash,
    money(data->>'realised') AS realised, money(data->>'unrealised') AS unrealised, money(data->>'charges') AS charges,
    money(data->>'net_pnl') AS net_pnl, money(data->>'equity') AS equity,
    money(data->>'gross_exposure') AS gross_exposure, money(data->>'peak_equity') AS peak_equity,
    money(data->>'max_drawdown') AS max_drawdown, id, date
FROM events_of('*.pnl.snapshots', 'pnl_snapshot');

-- One row for each strategy of an account's snapshot.
CREATE OR REPLACE VIEW strategy_pnl AS
SELECT timestamp, broker, account, part.strategy AS strategy, money(part.realised) AS realised,
    money(part.unrealised) AS unrealised, money(part.charges) AS charges, money(part.net_pnl) AS net_pnl, id, date
FROM (
    SELECT timestamp, topic_broker AS broker, data->>'account' AS account, id, date, unnest(from_json(
        data->'strategies',
        '[{"strategy": "VARCHAR", "realised": "VARCHAR", "unrealised": "VARCHAR", "charges": "VARCHAR",
           "net_pnl": "VARCHAR"}]'
    )) AS part
    FROM events_of('*.pnl.snapshots', 'pnl_snapshot')
);

-- --- what a human should know ----------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW alerts AS
SELECT timestamp, broker, data->>'severity' AS severity, data->>'code' AS code, data->>'message' AS message,
    data->>'subject' AS subject, source, id, date
FROM events_of('system.alerts', 'system_alert');

CREATE OR REPLACE VIEW commands AS
SELECT timestamp, topic_broker AS broker, data->>'command' AS command, data->>'account' AS account,
    data->>'issued_by' AS issued_by, data->>'reason' AS reason, id, date
FROM events_of('*.commands', 'command');

-- What nobody could use, with its bytes. The same record refused twice by one step is one row.
CREATE OR REPLACE VIEW dead_letters AS
SELECT headers->>'topic' AS topic, TRY_CAST(headers->>'partition' AS INTEGER) AS partition,
    TRY_CAST(headers->>'offset' AS BIGINT) AS "offset", headers->>'step' AS step, headers->>'error' AS error,
    headers->>'message' AS message, TRY_CAST(headers->>'attempts' AS INTEGER) AS attempts, timestamp, id, type, key,
    raw, date
FROM records_of('*.dlq') AS letters
QUALIFY row_number() OVER (
    PARTITION BY letters.topic, headers->>'topic', headers->>'partition',
        coalesce(headers->>'offset', 'unknown: ' || letters."offset"), headers->>'step'
    ORDER BY letters."offset"
) = 1;
