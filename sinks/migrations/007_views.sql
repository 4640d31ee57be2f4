-- Three corrections of views of migration 004, found with data in them:
-- a journey that stalled and is gone counted twice among those that left (corridor_transitions.share); a segment that is
-- known only from a later contact on made work in progress negative and a continuation of 0 / 0 (touchpoint_flow).

CREATE OR REPLACE VIEW corredor.corridor_transitions
AS SELECT
    t.tenant AS tenant, t.touchpoint AS touchpoint, t.following AS following,
    t.segment AS segment, t.segment_value AS segment_value, t.n AS n, t.resumed AS resumed,
    t.n / sumIf(t.n, t.following != '@gone') OVER (PARTITION BY t.tenant, t.touchpoint, t.segment, t.segment_value) AS share,
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
COMMENT 'The corridor as a graph, over all time: where journeys went, how many, after what wait. @goal, @abandoned, @stalled and @gone are ends; share is the part of all that followed a contact at the touchpoint, ends included (@gone follows @stalled and counts in no other share)';

CREATE OR REPLACE VIEW corredor.touchpoint_flow
AS SELECT
    tenant, touchpoint, segment, segment_value,
    sum(came) AS arrivals,
    sum(went_on) AS continued,
    sum(reached) AS goals,
    sum(left) AS abandoned,
    sum(halted) AS stalled,
    if(segment = '', arrivals - continued + sum(back) - goals - abandoned - stalled, NULL) AS in_progress,
    (continued + goals - sum(back)) / nullIf(continued + goals - sum(back) + abandoned + stalled, 0) AS continuation
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
COMMENT 'Arrivals, departures and work in progress of each touchpoint; continuation is the share that went on or reached a goal. Work in progress is known over all segments only: a journey may come without a segment and go on with it (by segment: the open journeys of corredor.journeys_now)';
