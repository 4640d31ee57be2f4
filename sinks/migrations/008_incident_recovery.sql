CREATE OR REPLACE VIEW corredor.incident_recovery
AS WITH
    hurt AS
    (
        SELECT i.tenant AS tenant, i.id AS id, e.subject AS subject, e.journey AS journey, min(e.time) AS hurt_at
        FROM corredor.all_incidents AS i
        INNER JOIN corredor.events AS e ON e.tenant = i.tenant AND e.touchpoint = i.touchpoint
        WHERE i.kind = 'drop'
            AND e.time >= i.since AND e.time < if(i.status = 'resolved', i.ended_at, i.updated_at)
            AND (i.segment = '' OR e.segment[i.segment] = i.segment_value)
            AND ((i.measure = 'negative' AND e.band = 'negative') OR (i.measure = 'broken_promise' AND e.gap < 0))
        GROUP BY tenant, id, subject, journey
    ),
    followed AS
    (
        SELECT h.tenant AS tenant, h.id AS id, h.subject AS subject, h.hurt_at AS hurt_at, p.time AS better_at
        FROM hurt AS h
        ASOF LEFT JOIN (SELECT tenant, subject, journey, time FROM corredor.events WHERE band = 'positive') AS p
            ON p.tenant = h.tenant AND p.subject = h.subject AND p.journey = h.journey AND p.time > h.hurt_at
    ),
    counted AS
    (
        SELECT
            tenant, id,
            uniqExact(subject) AS customers,
            uniqExactIf(subject, better_at > hurt_at AND better_at <= hurt_at + INTERVAL 3 DAY) AS recovered,
            quantileIf(0.5)(dateDiff('second', hurt_at, better_at), better_at > hurt_at) AS median_recovery_s
        FROM followed
        GROUP BY tenant, id
    )
SELECT
    i.tenant AS tenant, i.touchpoint AS touchpoint, i.measure AS measure, i.segment AS segment,
    i.segment_value AS segment_value, i.status AS status, i.severity AS severity, i.since AS since,
    if(i.status = 'resolved', i.ended_at, i.updated_at) AS until,
    dateDiff('second', i.since, until) AS lasted_s,
    c.customers AS hurt_customers,
    c.recovered AS recovered_customers,
    if(c.customers > 0, c.recovered / c.customers, NULL) AS recovered_share,
    if(c.recovered > 0, c.median_recovery_s, NULL) AS median_recovery_s,
    i.id AS id
FROM corredor.all_incidents AS i
LEFT JOIN counted AS c ON c.tenant = i.tenant AND c.id = i.id
WHERE i.kind = 'drop'
ORDER BY since
COMMENT 'Drops: how long each lasted, how many customers had a bad contact there, and how many of them a good one in the same journey within three days after it';
