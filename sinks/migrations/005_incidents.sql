CREATE TABLE IF NOT EXISTS corredor.incidents
(
    id String COMMENT 'The same after a restart' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'drop, congestion, blockage or silence',
    measure LowCardinality(String) COMMENT 'What got worse: negative, broken_promise, stopped, wait, pile_up or rate',
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    touchpoint LowCardinality(String) COMMENT 'Where; for the silence of a source, the source',
    following LowCardinality(String) DEFAULT '' COMMENT 'Touchpoint that the transition leads to; empty for a touchpoint',
    segment LowCardinality(String) DEFAULT '' COMMENT 'Where it was seen: empty for all, else the name of a segment',
    segment_value LowCardinality(String) DEFAULT '' COMMENT 'Value of that segment',
    status LowCardinality(String) COMMENT 'open or resolved',
    severity LowCardinality(String) COMMENT 'page (wake somebody) or ticket',
    since DateTime('UTC') COMMENT 'When the change most likely began, event time',
    detected_at DateTime('UTC') COMMENT 'End of the ten seconds that raised it, event time',
    updated_at DateTime('UTC') COMMENT 'End of the last ten seconds counted in, event time',
    resolved_at DateTime('UTC') COMMENT 'When it was proven over, event time; 1970 while it is open',
    ended_at DateTime('UTC') COMMENT 'When it most likely ended, event time; 1970 while it is open',
    before Float64 COMMENT 'Usual level, in the unit' CODEC(ZSTD(1)),
    now Float64 COMMENT 'Level since it began, in the unit' CODEC(ZSTD(1)),
    unit LowCardinality(String) COMMENT 'share (of negative events, broken promises or journeys that stopped), ms (geometric mean wait), arrivals_per_departure or per_s',
    depth Float64 COMMENT 'share: now - before; ms and arrivals_per_departure: now / before; per_s: 1 - now / before' CODEC(ZSTD(1)),
    n Int64 COMMENT 'Events, waits or journeys that now is the level of' CODEC(T64, ZSTD(1)),
    bad Int64 COMMENT 'The bad ones among them; 0 for waits' CODEC(T64, ZSTD(1)),
    hurt Int64 COMMENT 'Customers hurt beyond what is usual' CODEC(T64, ZSTD(1)),
    causes Array(Tuple(segment String, value String, explained Float64, rate_effect Float64, mix_effect Float64, before Float64, now Float64, n Int64)) COMMENT 'Segment values that explain the change, the largest share first: rate_effect (it got worse there), mix_effect (there is more of it)' CODEC(ZSTD(1)),
    version Int64 COMMENT 'Counts up from 1; the newest replaces the others' CODEC(T64, ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When the row was written' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, id)
TTL inserted_at + INTERVAL 400 DAY
COMMENT 'Incidents, open and resolved: the newest version of each. Read the view corredor.all_incidents';

CREATE OR REPLACE VIEW corredor.all_incidents
AS SELECT * FROM corredor.incidents FINAL
COMMENT 'Incidents, each once, as they are now';

CREATE OR REPLACE VIEW corredor.open_incidents
AS SELECT
    tenant, kind, measure, touchpoint, following, segment, segment_value, severity, since, detected_at, updated_at,
    round(before, 4) AS before, round(now, 4) AS now, unit, round(depth, 4) AS depth, hurt,
    if(empty(causes), '', concat(causes[1].segment, '=', causes[1].value)) AS first_cause,
    if(empty(causes), 0, round(causes[1].explained, 3)) AS explained, id
FROM corredor.incidents FINAL
WHERE status = 'open'
ORDER BY severity, since
COMMENT 'Incidents that are open, those that page first';
