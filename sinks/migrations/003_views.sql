-- Views for BI: right without knowing FINAL, versions, parts or partitions.

CREATE OR REPLACE VIEW corredor.events
AS SELECT * FROM corredor.touchpoint_events FINAL
COMMENT 'Accepted events, each once, with experience x and its components';

CREATE OR REPLACE VIEW corredor.rejections
AS SELECT * FROM corredor.rejected_events FINAL
COMMENT 'Rejected events, each once, with reason and raw bytes';

CREATE OR REPLACE VIEW corredor.slices
AS SELECT
    tenant, touchpoint, channel, stage, actor, contact, segment, segment_value, bucket,
    sum(s.n) AS n,
    sum(s.scored) AS scored,
    sum(s.sum_x) AS sum_x,
    sum(s.sum_xx) AS sum_xx,
    sum(s.negative) AS negative,
    sum(s.neutral) AS neutral,
    sum(s.positive) AS positive,
    sum(s.gap_n) AS gap_n,
    sum(s.gap_sum) AS gap_sum,
    sum(s.gap_broken) AS gap_broken,
    sum(s.wait_n) AS wait_n,
    sum(s.wait_log_sum) AS wait_log_sum,
    sum(s.wait_log_sum2) AS wait_log_sum2,
    sum(s.wait_satisfied) AS wait_satisfied,
    sum(s.wait_tolerating) AS wait_tolerating,
    sum(s.nps_n) AS nps_n,
    sum(s.nps_promoters) AS nps_promoters,
    sum(s.nps_detractors) AS nps_detractors,
    sum(s.csat_n) AS csat_n,
    sum(s.csat_top) AS csat_top,
    sum(s.ces_n) AS ces_n,
    sum(s.ces_sum) AS ces_sum,
    sum(s.ces_sum2) AS ces_sum2,
    sum(s.abandoned) AS abandoned,
    sum(s.pending) AS pending,
    sum(s.late) AS late,
    sumMap(s.waits) AS waits
FROM corredor.experience_slices AS s FINAL
WHERE kind = 'touchpoint'
GROUP BY tenant, touchpoint, channel, stage, actor, contact, segment, segment_value, bucket
COMMENT 'Sums per cell and 10-second bucket, all parts and partitions merged. They add: score = 100 * sum(sum_x) / sum(scored). Filter segment = '''' or one segment, for each event counts once in each';

CREATE OR REPLACE VIEW corredor.waits
AS SELECT
    tenant, touchpoint, channel, stage, actor, contact, segment, segment_value, bucket,
    if(waits_key < 0, 0., 2 * pow(1.02 / 0.98, waits_key) / (1.02 / 0.98 + 1)) AS wait_ms,
    toUInt64(waits_n) AS n
FROM corredor.slices
ARRAY JOIN mapKeys(waits) AS waits_key, mapValues(waits) AS waits_n
COMMENT 'Histogram of waits, one row per key: wait_ms is off by at most 2 %. Any quantile: quantileExactWeighted(0.95)(wait_ms, n)';

CREATE OR REPLACE VIEW corredor.touchpoint_waits
AS SELECT
    tenant, touchpoint, channel, stage, actor, contact, segment, segment_value,
    toStartOfHour(bucket) AS hour,
    sum(w.n) AS n,
    quantileExactWeighted(0.5)(w.wait_ms, w.n) AS p50_ms,
    quantileExactWeighted(0.95)(w.wait_ms, w.n) AS p95_ms
FROM corredor.waits AS w
GROUP BY tenant, touchpoint, channel, stage, actor, contact, segment, segment_value, hour
COMMENT 'Median and 95th percentile of the wait per cell and hour, milliseconds, off by at most 2 %';

CREATE OR REPLACE VIEW corredor.scores
AS SELECT * FROM corredor.experience_scores FINAL
COMMENT 'Rolling-window scores, the newest version of each step';

CREATE OR REPLACE VIEW corredor.touchpoint_scores_now
AS SELECT * FROM corredor.experience_scores FINAL
WHERE (tenant, scope, name, segment, segment_value, window, at) IN (
    SELECT tenant, scope, name, segment, segment_value, window, max(at)
    FROM corredor.experience_scores
    GROUP BY tenant, scope, name, segment, segment_value, window
)
COMMENT 'The newest score of each scope (touchpoint, channel, stage, corridor) and window; at says how new it is';

CREATE OR REPLACE VIEW corredor.score_history
AS SELECT
    at, tenant, scope, name, segment, segment_value, window, n, score, score_low, score_high, negative
FROM corredor.experience_scores FINAL
COMMENT 'The line and its band for a chart: score with its 95 % interval, n and share of negatives at each step';
