-- The corridor now: where each touchpoint stands (kind = 'touchpoint') and which ways customers take (kind =
-- 'transition'), told once a minute of event time. Importance and priority come from the workers; what needs single
-- events (bridging, money at stake) is a view here.

CREATE TABLE IF NOT EXISTS corredor.corridor
(
    kind LowCardinality(String) COMMENT 'What the row is about: touchpoint or transition',
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    touchpoint LowCardinality(String) COMMENT 'Touchpoint; of a transition the one it comes from',
    following LowCardinality(String) DEFAULT '' COMMENT 'Of a transition: the touchpoint it leads to; empty for a touchpoint',
    at DateTime64(0, 'UTC') COMMENT 'End of the window, exclusive, event time' CODEC(DoubleDelta, ZSTD(1)),
    version Int64 COMMENT 'The newest version replaces the others' CODEC(DoubleDelta, ZSTD(1)),
    window_s UInt32 COMMENT 'Length of the window, seconds: the hour of at so far and the 23 hours before it' CODEC(T64, ZSTD(1)),
    arrivals Int64 COMMENT 'Contacts of journeys at the touchpoint in the window' CODEC(T64, ZSTD(1)),
    scored Int64 COMMENT 'Events with a score x in the window' CODEC(T64, ZSTD(1)),
    score Nullable(Float64) COMMENT 'Score, 0 to 100; NULL is unknown (too few events)' CODEC(ZSTD(1)),
    score_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of score' CODEC(ZSTD(1)),
    score_high Nullable(Float64) COMMENT 'High end of the 95 % interval of score' CODEC(ZSTD(1)),
    target_score Nullable(Float64) COMMENT 'Score that the corridor map asks for, 0 to 100; NULL for a transition' CODEC(ZSTD(1)),
    shortfall Nullable(Float64) COMMENT 'Points of score below the target, at least 0' CODEC(ZSTD(1)),
    shortfall_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of shortfall' CODEC(ZSTD(1)),
    shortfall_high Nullable(Float64) COMMENT 'High end of the 95 % interval of shortfall' CODEC(ZSTD(1)),
    goal_chance Nullable(Float64) COMMENT 'Chance, 0 to 1, that a journey here reaches a goal before it is abandoned or stalls' CODEC(ZSTD(1)),
    goal_chance_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of goal_chance' CODEC(ZSTD(1)),
    goal_chance_high Nullable(Float64) COMMENT 'High end of the 95 % interval of goal_chance' CODEC(ZSTD(1)),
    importance Nullable(Float64) COMMENT 'Removal effect, 0 to 1: 1 - P(goal without this touchpoint) / P(goal)' CODEC(ZSTD(1)),
    importance_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of importance' CODEC(ZSTD(1)),
    importance_high Nullable(Float64) COMMENT 'High end of the 95 % interval of importance' CODEC(ZSTD(1)),
    priority Nullable(Float64) COMMENT 'importance * arrivals * shortfall' CODEC(ZSTD(1)),
    priority_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of priority' CODEC(ZSTD(1)),
    priority_high Nullable(Float64) COMMENT 'High end of the 95 % interval of priority' CODEC(ZSTD(1)),
    declared Bool COMMENT 'Of a transition: whether the corridor map has it (true for all where the map declares none)',
    drift LowCardinality(String) DEFAULT '' COMMENT 'Of a transition: new, vanished or empty',
    n Int64 COMMENT 'Of a transition: how often it was taken in the window' CODEC(T64, ZSTD(1)),
    departures Int64 COMMENT 'Of a transition: all that followed a contact at the touchpoint in the window, ends included' CODEC(T64, ZSTD(1)),
    share Nullable(Float64) COMMENT 'n / departures, 0 to 1' CODEC(ZSTD(1)),
    share_low Nullable(Float64) COMMENT 'Low end of the 95 % Wilson interval of share' CODEC(ZSTD(1)),
    share_high Nullable(Float64) COMMENT 'High end of the 95 % Wilson interval of share' CODEC(ZSTD(1)),
    usual_share Nullable(Float64) COMMENT 'The same share over the 7 to 8 days before the window' CODEC(ZSTD(1)),
    first_seen Nullable(DateTime('UTC')) COMMENT 'Of a transition: when it was first seen; NULL if not in the last 8 days' CODEC(ZSTD(1)),
    last_seen Nullable(DateTime('UTC')) COMMENT 'Of a transition: when it was last seen; NULL if not in the last 8 days' CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When the row was written' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, kind, touchpoint, following, at)
TTL inserted_at + INTERVAL 400 DAY
COMMENT 'Importance, priority and drift, minute by minute. Read the views corredor.touchpoint_standings, moments_of_truth and corridor_drift';

CREATE OR REPLACE VIEW corredor.touchpoint_standings
AS SELECT
    tenant, touchpoint, at, window_s, arrivals, scored, score, score_low, score_high, target_score,
    shortfall, shortfall_low, shortfall_high, goal_chance, goal_chance_low, goal_chance_high,
    importance, importance_low, importance_high, priority, priority_low, priority_high
FROM corredor.corridor FINAL
WHERE kind = 'touchpoint' AND (tenant, touchpoint, at) IN (
    SELECT tenant, touchpoint, newest
    FROM
    (
        SELECT tenant, touchpoint, max(at) AS newest, max(newest) OVER (PARTITION BY tenant) AS newest_of_all
        FROM corredor.corridor
        WHERE kind = 'touchpoint'
        GROUP BY tenant, touchpoint
    )
    WHERE newest > newest_of_all - INTERVAL 1 HOUR
)
COMMENT 'Where each touchpoint stands now: volume, score against its target, chance to reach a goal, importance and priority';

CREATE OR REPLACE VIEW corredor.bridging
AS SELECT
    tenant, touchpoint, negative_n, positive_n,
    if(negative_n > 0, after_negative, NULL) AS later_x_after_negative,
    if(positive_n > 0, after_positive, NULL) AS later_x_after_positive,
    later_x_after_negative - later_x_after_positive AS bridging,
    if(isFinite(welch.3), greatest(welch.3, -1.), NULL) AS bridging_low,
    if(isFinite(welch.4), least(welch.4, 1.), NULL) AS bridging_high
FROM
(
    SELECT
        tenant, touchpoint,
        countIf(here < 0.4) AS negative_n,
        countIf(here >= 0.7) AS positive_n,
        avgIf(later, here < 0.4) AS after_negative,
        avgIf(later, here >= 0.7) AS after_positive,
        welchTTestIf(0.95)(later, here >= 0.7, here < 0.4 OR here >= 0.7) AS welch
    FROM
    (
        SELECT
            tenant, touchpoint, subject, journey,
            argMin((known_x, later_n, later_sum), (time, source, id)) AS first_here,
            first_here.1 AS here,
            first_here.3 / first_here.2 AS later
        FROM
        (
            SELECT
                tenant, touchpoint, subject, journey, time, source, id, assumeNotNull(x) AS known_x,
                count() OVER until_here - count() OVER right_here AS later_n,
                sum(known_x) OVER until_here - sum(known_x) OVER right_here AS later_sum
            FROM corredor.events
            WHERE isNotNull(x) AND time >= (SELECT max(time) FROM corredor.touchpoint_events) - INTERVAL 30 DAY
            WINDOW
                until_here AS (PARTITION BY tenant, subject, journey ORDER BY time DESC),
                right_here AS (PARTITION BY tenant, subject, journey, time)
        )
        GROUP BY tenant, touchpoint, subject, journey
        HAVING first_here.2 > 0
    )
    GROUP BY tenant, touchpoint
)
COMMENT 'Where bad here makes later contacts worse: mean x of a journey''s later events given x < 0.4 at its first scored contact here, minus given x >= 0.7, with the 95 % interval of Welch''s test. One observation per journey; the 30 days before the newest event';

CREATE OR REPLACE VIEW corredor.moments_of_truth
AS SELECT
    s.tenant AS tenant, s.touchpoint AS touchpoint, s.at AS at,
    s.priority AS priority, s.priority_low AS priority_low, s.priority_high AS priority_high,
    m.currency AS currency,
    s.priority / 100 * m.mean * m.part AS priority_money,
    if(isNull(m.half) OR isNull(s.priority), NULL, greatest(0., priority_money - m.part / 100 * sqrt(
        pow(m.mean * (s.priority - s.priority_low), 2) + pow(s.priority * m.half, 2)))) AS priority_money_low,
    priority_money + m.part / 100 * sqrt(
        pow(m.mean * (s.priority_high - s.priority), 2) + pow(s.priority * m.half, 2)) AS priority_money_high,
    m.n AS value_n, m.mean AS value_mean, m.mean - m.half AS value_mean_low, m.mean + m.half AS value_mean_high,
    s.importance AS importance, s.importance_low AS importance_low, s.importance_high AS importance_high,
    s.arrivals AS arrivals, s.scored AS scored, s.score AS score, s.score_low AS score_low, s.score_high AS score_high,
    s.target_score AS target_score, s.shortfall AS shortfall, s.goal_chance AS goal_chance,
    b.bridging AS bridging, b.bridging_low AS bridging_low, b.bridging_high AS bridging_high
FROM corredor.touchpoint_standings AS s
LEFT JOIN
(
    SELECT
        v.tenant AS tenant, v.touchpoint AS touchpoint, v.currency AS currency,
        toNullable(count()) AS n,
        avg(abs(v.amount_minor)) AS mean,
        if(n > 1, 1.959963984540054 * stddevSamp(abs(v.amount_minor)) / sqrt(n), NULL) AS half,
        n / sum(n) OVER (PARTITION BY tenant, touchpoint) AS part
    FROM corredor.events AS v
    INNER JOIN corredor.touchpoint_standings AS w ON v.tenant = w.tenant AND v.touchpoint = w.touchpoint
    WHERE isNotNull(v.amount_minor) AND v.time < w.at AND v.time >= w.at - INTERVAL 1 DAY
        AND v.time >= (SELECT min(at) FROM corredor.touchpoint_standings) - INTERVAL 1 DAY
    GROUP BY tenant, touchpoint, currency
) AS m ON s.tenant = m.tenant AND s.touchpoint = m.touchpoint
LEFT JOIN corredor.bridging AS b ON s.tenant = b.tenant AND s.touchpoint = b.touchpoint
ORDER BY tenant, priority DESC NULLS LAST, touchpoint, currency
COMMENT 'Where to act first: touchpoints by priority = importance * arrivals * shortfall. With money: priority / 100 * mean amount (without its sign) of the last 24 hours, in minor units, one row per currency, each with its part of the volume; NULL where no money is known';

CREATE OR REPLACE VIEW corredor.corridor_drift
AS SELECT
    tenant, touchpoint, following,
    multiIf(drift != '' AND NOT declared, concat(drift, ', undeclared'), drift != '', toString(drift),
        NOT declared, 'undeclared', 'never seen') AS status,
    declared, drift, at, n, departures, share, share_low, share_high, usual_share, first_seen, last_seen
FROM corredor.corridor FINAL
WHERE kind = 'transition' AND (drift != '' OR NOT declared OR isNull(last_seen)) AND (tenant, touchpoint, following, at) IN (
    SELECT tenant, touchpoint, following, newest
    FROM
    (
        SELECT
            tenant, touchpoint, following, max(at) AS newest, max(newest) OVER (PARTITION BY tenant) AS newest_of_all
        FROM corredor.corridor
        WHERE kind = 'transition'
        GROUP BY tenant, touchpoint, following
    )
    WHERE toStartOfHour(newest - INTERVAL 1 SECOND) = toStartOfHour(newest_of_all - INTERVAL 1 SECOND)
)
ORDER BY tenant, n DESC, touchpoint, following
COMMENT 'Where customers leave the map: ways that are new, vanished or undeclared, and declared ones not seen in 8 days';
