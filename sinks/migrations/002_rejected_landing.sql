-- JSON cannot carry bytes, so rejected messages come with key, value and headers in base64. They are written to a table
-- that stores nothing; the view below decodes them on the way into corredor.rejected_events, within the same insert.

CREATE TABLE IF NOT EXISTS corredor.rejected_events_landing
(
    reason LowCardinality(String) COMMENT 'Why it was not accepted',
    detail String COMMENT 'What is wrong and where in the event',
    topic LowCardinality(String) COMMENT 'Topic it stands in',
    partition Int32 COMMENT 'Partition it stands in',
    offset Int64 COMMENT 'Offset in that partition',
    received_at DateTime64(6, 'UTC') COMMENT 'When Kafka received it',
    key Nullable(String) COMMENT 'Kafka key, base64',
    raw Nullable(String) COMMENT 'Kafka value, base64',
    headers Map(LowCardinality(String), Nullable(String)) COMMENT 'Kafka headers, values in base64'
)
ENGINE = Null
COMMENT 'Where rejected events come in; holds nothing, see corredor.rejected_events';

CREATE MATERIALIZED VIEW IF NOT EXISTS corredor.rejected_events_decoder TO corredor.rejected_events
AS SELECT
    reason,
    detail,
    topic,
    partition,
    offset,
    received_at,
    base64Decode(key) AS key,
    base64Decode(raw) AS raw,
    CAST(mapApply((name, value) -> (name, base64Decode(value)), headers),
         'Map(LowCardinality(String), Nullable(String))') AS headers
FROM corredor.rejected_events_landing
COMMENT 'Decodes the base64 of rejected events on their way in';
