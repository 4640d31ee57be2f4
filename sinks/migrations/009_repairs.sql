-- A repaired rejection is published again under its key, with when and by what it was repaired. The table has replaced
-- rows by its sorting key alone so far; the mark becomes the end of that key, which ClickHouse allows for a new column
-- and which moves no row. So a mark and the rejection it belongs to stand beside each other, and whichever of them is
-- delivered again, in whatever order, the views show the rejection once: marked.

ALTER TABLE corredor.rejected_events
    ADD COLUMN IF NOT EXISTS repaired_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was repaired; NULL: it was not' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS repair LowCardinality(String) COMMENT 'Name of the fix that repaired it; empty: it is open',
    ADD COLUMN IF NOT EXISTS repaired Bool COMMENT 'True: this row is the mark of a repair',
    MODIFY ORDER BY (topic, partition, offset, received_at, repaired);

ALTER TABLE corredor.rejected_events_landing
    ADD COLUMN IF NOT EXISTS repaired_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was repaired; NULL: it was not',
    ADD COLUMN IF NOT EXISTS repair LowCardinality(String) COMMENT 'Name of the fix that repaired it; empty: it is open';

ALTER TABLE corredor.rejected_events_decoder MODIFY QUERY
SELECT
    reason,
    detail,
    topic,
    partition,
    offset,
    received_at,
    base64Decode(key) AS key,
    base64Decode(raw) AS raw,
    CAST(mapApply((name, value) -> (name, base64Decode(value)), headers),
         'Map(LowCardinality(String), Nullable(String))') AS headers,
    repaired_at,
    repair,
    repaired_at IS NOT NULL AS repaired
FROM corredor.rejected_events_landing;

CREATE OR REPLACE VIEW corredor.rejections
AS SELECT
    *,
    multiIf(
        mapContains(mapApply((name, value) -> (lower(name), value), headers), 'ce_source'),
        ifNull(mapApply((name, value) -> (lower(name), value), headers)['ce_source'], ''),
        JSONHas(ifNull(raw, ''), 'source'),
        JSONExtractString(ifNull(raw, ''), 'source'),
        extract(ifNull(raw, ''), '"source"\\s*:\\s*"([^"\\\\]*)"')) AS source
FROM corredor.rejected_events FINAL
WHERE repaired OR (topic, partition, offset, received_at) NOT IN (
    SELECT topic, partition, offset, received_at FROM corredor.rejected_events WHERE repaired
)
COMMENT 'Rejected events, each once, with reason and raw bytes; repaired_at says when one was repaired. source as far as the bytes tell';

CREATE OR REPLACE VIEW corredor.rejections_open
AS SELECT * FROM corredor.rejections WHERE NOT repaired
COMMENT 'Rejected events that are not repaired';

CREATE OR REPLACE VIEW corredor.rejections_by_reason
AS SELECT
    reason,
    source,
    countIf(NOT r.repaired) AS open,
    countIf(r.repaired) AS repaired,
    min(r.received_at) AS first_at,
    max(r.received_at) AS last_at,
    maxIf(r.repaired_at, r.repaired) AS last_repaired_at,
    any(r.detail) AS example
FROM corredor.rejections AS r
GROUP BY reason, source
ORDER BY open DESC, reason, source
COMMENT 'How many rejected events are open and how many repaired, by reason and source, with one of the details';
