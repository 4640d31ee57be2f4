-- Journeys, and the transitions between touchpoints.
--
-- A transition slice is a row of experience_slices with kind = 'transition'. A contact that comes late, between two
-- others, takes their transition back: in one part of a slice its counts may be negative, over all parts none is.

ALTER TABLE corredor.experience_slices
    ADD COLUMN IF NOT EXISTS following LowCardinality(String) COMMENT 'Of a transition: the touchpoint it leads to, or @goal, @abandoned, @stalled, @gone' AFTER touchpoint,
    MODIFY ORDER BY (tenant, kind, touchpoint, segment, segment_value, bucket, channel, stage, actor, contact, origin, part, following);

ALTER TABLE corredor.experience_slices
    MODIFY COLUMN kind LowCardinality(String) COMMENT 'What the slice is about: touchpoint or transition',
    MODIFY COLUMN touchpoint LowCardinality(String) COMMENT 'Touchpoint; of a transition the one it comes from, empty for a journey''s first contact',
    MODIFY COLUMN n Int64 COMMENT 'Events, those without a score included; transitions' CODEC(T64, ZSTD(1)),
    MODIFY COLUMN wait_n Int64 COMMENT 'Events with a wait; transitions between two contacts' CODEC(T64, ZSTD(1)),
    MODIFY COLUMN waits Map(Int16, Int64) COMMENT 'Histogram of waits: key i is g^(i-1) < ms <= g^i, g = 1.02/0.98; key -1 is 0 ms' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS resumed Int64 COMMENT 'Of transitions: how many left a touchpoint where the journey had ended or stalled' CODEC(T64, ZSTD(1)) AFTER waits,
    ADD COLUMN IF NOT EXISTS wait_ms_sum Int64 COMMENT 'Of transitions: sum of the waits between the two contacts, milliseconds' CODEC(T64, ZSTD(1)) AFTER resumed;

CREATE TABLE IF NOT EXISTS corredor.journeys
(
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    subject String COMMENT 'Customer, pseudonymous' CODEC(ZSTD(1)),
    journey String COMMENT 'Journey; the subject if the events name none' CODEC(ZSTD(1)),
    version Int64 COMMENT 'Grows with every change; the newest replaces the others' CODEC(T64, ZSTD(1)),
    origin LowCardinality(String) COMMENT 'Topic and partition it was followed in',
    status LowCardinality(String) COMMENT 'open, stalled (silent for longer than the patience), reached (a goal) or abandoned',
    started_at DateTime64(6, 'UTC') COMMENT 'First contact' CODEC(DoubleDelta, ZSTD(1)),
    last_at DateTime64(6, 'UTC') COMMENT 'Last contact' CODEC(DoubleDelta, ZSTD(1)),
    first_touchpoint LowCardinality(String) COMMENT 'Touchpoint of the first contact',
    last_touchpoint LowCardinality(String) COMMENT 'Touchpoint of the last contact',
    contacts UInt64 COMMENT 'Contacts, late ones included' CODEC(T64, ZSTD(1)),
    effort Float64 COMMENT 'Sum of ln(1 + n) of contacts, channel switches, transfers, repeats and retries' CODEC(ZSTD(1)),
    ended_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it ended; NULL while it has not' CODEC(ZSTD(1)),
    channels Array(LowCardinality(String)) COMMENT 'Distinct channels in the order of their first use' CODEC(ZSTD(1)),
    channel_switches UInt64 COMMENT 'Contacts in another channel than the contact before' CODEC(T64, ZSTD(1)),
    repeats UInt64 COMMENT 'Contacts at a touchpoint where the journey had been before' CODEC(T64, ZSTD(1)),
    elapsed_s Float64 COMMENT 'Last contact minus first, seconds' CODEC(ZSTD(1)),
    active_ms Int64 COMMENT 'Time the customer worked, milliseconds' CODEC(T64, ZSTD(1)),
    wait_ms Int64 COMMENT 'Time the customer waited, milliseconds' CODEC(T64, ZSTD(1)),
    consistency Nullable(Float64) COMMENT '1 - sd(x) / 0.5, 0 to 1; NULL with fewer than two scored contacts' CODEC(ZSTD(1)),
    unaccompanied_s Float64 COMMENT 'Longest stretch without a contact by the company, seconds' CODEC(ZSTD(1)),
    peak_x Nullable(Float64) COMMENT 'The x farthest from 0.5' CODEC(ZSTD(1)),
    last_x Nullable(Float64) COMMENT 'The latest x' CODEC(ZSTD(1)),
    memory Nullable(Float64) COMMENT '(peak + last) / 2: the memory taken home, 0 to 1' CODEC(ZSTD(1)),
    memory_band LowCardinality(String) DEFAULT 'unknown' COMMENT 'negative (memory < 0.4), neutral, positive (memory >= 0.7) or unknown',
    score Nullable(Float64) COMMENT '100 * mean of x weighted by the importance of the touchpoints' CODEC(ZSTD(1)),
    scored UInt64 COMMENT 'Contacts with x' CODEC(T64, ZSTD(1)),
    negative UInt64 COMMENT 'Contacts with a negative x' CODEC(T64, ZSTD(1)),
    recovered UInt64 COMMENT 'Negative contacts followed by a positive one within the recovery time' CODEC(T64, ZSTD(1)),
    open_negative_at Nullable(DateTime64(6, 'UTC')) COMMENT 'First negative contact since the last positive one' CODEC(ZSTD(1)),
    goals Array(Tuple(touchpoint LowCardinality(String), time DateTime64(6, 'UTC'))) COMMENT 'Goals reached, each with its first time' CODEC(ZSTD(1)),
    value Map(LowCardinality(String), Int64) COMMENT 'Money at stake: currency to minor units' CODEC(ZSTD(1)),
    late UInt64 COMMENT 'Contacts that came after later ones were settled' CODEC(T64, ZSTD(1)),
    segments Map(LowCardinality(String), String) COMMENT 'The value last seen of each segment of the map' CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When the row was written' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, subject, journey)
TTL inserted_at + INTERVAL 400 DAY
COMMENT 'Journeys, open and ended: the newest version of each. Read the view corredor.journeys_now';

CREATE OR REPLACE VIEW corredor.journeys_now
AS SELECT * FROM corredor.journeys FINAL
COMMENT 'Journeys, each once, as they are now';

CREATE OR REPLACE VIEW corredor.transitions
AS SELECT
    tenant, touchpoint, following, segment, segment_value, bucket,
    sum(s.n) AS n,
    sum(s.resumed) AS resumed,
    sum(s.wait_n) AS wait_n,
    sum(s.wait_ms_sum) AS wait_ms_sum,
    sum(s.wait_log_sum) AS wait_log_sum,
    sum(s.wait_log_sum2) AS wait_log_sum2,
    sumMap(s.waits) AS waits
FROM corredor.experience_slices AS s FINAL
WHERE kind = 'transition'
GROUP BY tenant, touchpoint, following, segment, segment_value, bucket
HAVING n != 0
COMMENT 'Who went where: counts and waits per transition and 10-second bucket, all parts and partitions merged. Filter segment = '''' or one segment, for each transition counts once in each';

CREATE OR REPLACE VIEW corredor.transition_waits
AS SELECT
    tenant, touchpoint, following, segment, segment_value, bucket,
    if(waits_key < 0, 0., 2 * pow(1.02 / 0.98, waits_key) / (1.02 / 0.98 + 1)) AS wait_ms,
    toUInt64(waits_n) AS n
FROM corredor.transitions
ARRAY JOIN mapKeys(waits) AS waits_key, mapValues(waits) AS waits_n
WHERE waits_n > 0
COMMENT 'Histogram of waits between contacts, one row per key: wait_ms is off by at most 2 %. Any quantile: quantileExactWeighted(0.95)(wait_ms, n)';

CREATE OR REPLACE VIEW corredor.corridor_transitions
AS SELECT
    t.tenant AS tenant, t.touchpoint AS touchpoint, t.following AS following,
    t.segment AS segment, t.segment_value AS segment_value, t.n AS n, t.resumed AS resumed,
    t.n / sum(t.n) OVER (PARTITION BY t.tenant, t.touchpoint, t.segment, t.segment_value) AS share,
    if(t.wait_n > 0, t.wait_ms_sum / t.wait_n, NULL) AS wait_mean_ms,
    w.p50 AS wait_median_ms,
    w.p95 AS wait_p95_ms,
    t.first_at AS first_at, t.last_at AS last_at
FROM
(
    SELECT
        tenant, touchpoint, following, segment, segment_value,
        sum(f.n) AS n, sum(f.resumed) AS resumed, sum(f.wait_n) AS wait_n, sum(f.wait_ms_sum) AS wait_ms_sum,
        min(f.bucket) AS first_at, max(f.bucket) AS last_at
    FROM corredor.transitions AS f
    GROUP BY tenant, touchpoint, following, segment, segment_value
) AS t
LEFT JOIN
(
    SELECT
        tenant, touchpoint, following, segment, segment_value,
        toNullable(quantileExactWeighted(0.5)(h.wait_ms, h.n)) AS p50,
        toNullable(quantileExactWeighted(0.95)(h.wait_ms, h.n)) AS p95
    FROM corredor.transition_waits AS h
    GROUP BY tenant, touchpoint, following, segment, segment_value
) AS w
ON t.tenant = w.tenant AND t.touchpoint = w.touchpoint AND t.following = w.following AND t.segment = w.segment
    AND t.segment_value = w.segment_value
COMMENT 'The corridor as a graph, over all time: where journeys went, how many, after what wait; share is the part of all that left the touchpoint. @goal, @abandoned, @stalled and @gone are ends';

CREATE OR REPLACE VIEW corredor.touchpoint_flow
AS SELECT
    tenant, touchpoint, segment, segment_value,
    sum(came) AS arrivals,
    sum(went_on) AS continued,
    sum(reached) AS goals,
    sum(left) AS abandoned,
    sum(halted) AS stalled,
    arrivals - continued + sum(back) - goals - abandoned - stalled AS in_progress,
    if(continued + goals + abandoned + stalled > 0,
        (continued + goals - sum(back)) / (continued + goals - sum(back) + abandoned + stalled), NULL) AS continuation
FROM
(
    SELECT
        tenant, following AS touchpoint, segment, segment_value,
        n AS came, 0 AS went_on, 0 AS reached, 0 AS left, 0 AS halted, 0 AS back
    FROM corredor.transitions
    WHERE NOT startsWith(following, '@')
    UNION ALL
    SELECT
        tenant, touchpoint, segment, segment_value,
        0 AS came,
        if(startsWith(following, '@'), 0, n) AS went_on,
        if(following = '@goal', n, 0) AS reached,
        if(following = '@abandoned', n, 0) AS left,
        if(following = '@stalled', n, 0) AS halted,
        resumed AS back
    FROM corredor.transitions
    WHERE touchpoint != ''
)
GROUP BY tenant, touchpoint, segment, segment_value
COMMENT 'Arrivals, departures and work in progress of each touchpoint; continuation is the share that went on or reached a goal';

CREATE OR REPLACE VIEW corredor.journey_memory
AS SELECT
    tenant, status, memory_band, last_touchpoint,
    count() AS journeys,
    avg(memory) AS memory,
    avg(score) AS score,
    avg(contacts) AS contacts,
    avg(effort) AS effort,
    avg(consistency) AS consistency
FROM corredor.journeys_now
GROUP BY tenant, status, memory_band, last_touchpoint
COMMENT 'What customers take home: journeys by memory (peak-end rule), status and where they last were';

CREATE OR REPLACE VIEW corredor.recovery
AS SELECT
    tenant, last_touchpoint,
    countIf(j.negative > 0) AS hurt_journeys,
    sum(j.negative) AS negative_contacts,
    sum(j.recovered) AS recovered_contacts,
    if(negative_contacts > 0, recovered_contacts / negative_contacts, NULL) AS recovered_share,
    countIf(open_negative_at IS NOT NULL) AS still_hurt
FROM corredor.journeys_now AS j
GROUP BY tenant, last_touchpoint
COMMENT 'Negative contacts, and how many were followed by a positive one within the recovery time';

CREATE OR REPLACE VIEW corredor.accompaniment
AS SELECT
    tenant, status, last_touchpoint,
    count() AS journeys,
    avg(unaccompanied_s) AS mean_unaccompanied_s,
    quantile(0.5)(unaccompanied_s) AS median_unaccompanied_s,
    quantile(0.95)(unaccompanied_s) AS p95_unaccompanied_s
FROM corredor.journeys_now
GROUP BY tenant, status, last_touchpoint
COMMENT 'Accompanied or left alone: the longest stretch of each journey without a contact by the company, seconds';

CREATE OR REPLACE VIEW corredor.promise_gap
AS SELECT
    tenant, touchpoint, segment, segment_value, toStartOfHour(bucket) AS hour,
    sum(s.gap_n) AS promises,
    sum(s.gap_broken) AS broken,
    if(sum(s.gap_n) > 0, sum(s.gap_broken) / sum(s.gap_n), NULL) AS broken_share,
    if(sum(s.gap_n) > 0, sum(s.gap_sum) / sum(s.gap_n), NULL) AS gap_mean
FROM corredor.slices AS s
GROUP BY tenant, touchpoint, segment, segment_value, hour
HAVING promises > 0
COMMENT 'The gap between what was promised and what was lived, per hour: mean gap in tolerances and share of broken promises';
