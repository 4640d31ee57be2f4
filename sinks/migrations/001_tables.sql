-- The four result tables.
--
-- Each is a ReplacingMergeTree whose sorting key holds the identity of a row, and whose partition key is made of columns
-- of the sorting key: a message delivered twice lands on the same key in the same partition and replaces itself.
-- Rows expire by arrival, not by event time: replayed history is old when it comes and must not vanish on arrival.

CREATE TABLE IF NOT EXISTS corredor.touchpoint_events
(
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    touchpoint LowCardinality(String) COMMENT 'Touchpoint, as named in the corridor map',
    channel LowCardinality(String) COMMENT 'Channel; unknown if neither event nor map says',
    stage LowCardinality(String) COMMENT 'before, during or after the purchase; unknown if neither event nor map says',
    actor LowCardinality(String) COMMENT 'buyer, distributor, supplier or employee',
    contact LowCardinality(String) COMMENT 'direct or indirect',
    subject String COMMENT 'Customer, pseudonymous' CODEC(ZSTD(1)),
    journey String COMMENT 'Journey; the subject if the event names none' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'Source system; with id the identity of the event',
    id String COMMENT 'Identifier within the source' CODEC(ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'When it happened (event time)' CODEC(Delta(8), ZSTD(1)),
    received_at DateTime64(6, 'UTC') COMMENT 'When Kafka received it' CODEC(DoubleDelta, ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'success, partial, failure, abandoned or pending',
    band LowCardinality(String) COMMENT 'negative (x < 0.4), neutral, positive (x >= 0.7); unknown without a score',
    source_partition Int32 COMMENT 'Partition of touchpoint.events it stands in' CODEC(T64, ZSTD(1)),
    source_offset Int64 COMMENT 'Offset in that partition' CODEC(DoubleDelta, ZSTD(1)),
    raw String COMMENT 'The event as received: JSON of structured mode, data of binary mode' CODEC(ZSTD(3)),
    x Nullable(Float64) COMMENT 'Experience, 0 to 1; NULL if no component is present' CODEC(ZSTD(1)),
    x_outcome Nullable(Float64) COMMENT 'Component outcome, 0 to 1' CODEC(ZSTD(1)),
    x_promise Nullable(Float64) COMMENT 'Component promise, 0 to 1; 0.7 is a kept promise' CODEC(ZSTD(1)),
    x_rating Nullable(Float64) COMMENT 'Component rating, 0 to 1' CODEC(ZSTD(1)),
    x_sentiment Nullable(Float64) COMMENT 'Component sentiment, 0 to 1' CODEC(ZSTD(1)),
    x_effort Nullable(Float64) COMMENT 'Component effort, 0 to 1; 1 is no effort' CODEC(ZSTD(1)),
    x_wait Nullable(Float64) COMMENT 'Component wait, 0 to 1; 1 is no wait' CODEC(ZSTD(1)),
    gap Nullable(Float64) COMMENT 'Promise against delivery, in tolerances; positive is better than promised' CODEC(ZSTD(1)),
    initiator LowCardinality(Nullable(String)) COMMENT 'customer or company',
    recorded_time Nullable(DateTime64(6, 'UTC')) COMMENT 'When the source recorded it' CODEC(ZSTD(1)),
    expected Nullable(Float64) COMMENT 'Promised value, in unit' CODEC(ZSTD(1)),
    actual Nullable(Float64) COMMENT 'Delivered value, in unit' CODEC(ZSTD(1)),
    tolerance Nullable(Float64) COMMENT 'What one step of gap stands for, in unit' CODEC(ZSTD(1)),
    unit LowCardinality(Nullable(String)) COMMENT 'Unit of expected, actual and tolerance',
    better LowCardinality(Nullable(String)) COMMENT 'Whether lower or higher is better for the promise',
    rating Nullable(Float64) COMMENT 'Answer, from rating_min to rating_max' CODEC(ZSTD(1)),
    rating_min Nullable(Float64) COMMENT 'Lowest possible answer' CODEC(ZSTD(1)),
    rating_max Nullable(Float64) COMMENT 'Highest possible answer' CODEC(ZSTD(1)),
    instrument LowCardinality(Nullable(String)) COMMENT 'Survey method: nps, csat, ces or stars',
    sentiment Nullable(Float64) COMMENT 'Sentiment, -1 to 1' CODEC(ZSTD(1)),
    wait_ms Nullable(UInt64) COMMENT 'Time the customer waited, milliseconds' CODEC(T64, ZSTD(1)),
    active_ms Nullable(UInt64) COMMENT 'Time the customer worked, milliseconds' CODEC(T64, ZSTD(1)),
    attempts Nullable(UInt32) COMMENT 'Attempts the customer needed' CODEC(T64, ZSTD(1)),
    transfers Nullable(UInt32) COMMENT 'Times the customer was handed over' CODEC(T64, ZSTD(1)),
    queue_depth Nullable(UInt32) COMMENT 'Customers waiting, as the source saw it' CODEC(T64, ZSTD(1)),
    servers Nullable(UInt32) COMMENT 'Places serving, as the source saw it' CODEC(T64, ZSTD(1)),
    segment Map(LowCardinality(String), String) COMMENT 'Segment key to value: location, carrier, device ...' CODEC(ZSTD(1)),
    aspects Map(LowCardinality(String), Float64) COMMENT 'Aspect to 0..1: cleanliness, packaging ...' CODEC(ZSTD(1)),
    amount_minor Nullable(Int64) COMMENT 'Money at stake, minor units of currency' CODEC(T64, ZSTD(1)),
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code',
    audience Nullable(UInt64) COMMENT 'How many people saw it' CODEC(T64, ZSTD(1)),
    change LowCardinality(Nullable(String)) COMMENT 'Improvement these first events belong to',
    dataschema LowCardinality(Nullable(String)) COMMENT 'CloudEvents dataschema',
    traceparent Nullable(String) COMMENT 'W3C trace context' CODEC(ZSTD(1)),
    correlationid Nullable(String) COMMENT 'Correlation identifier' CODEC(ZSTD(1)),
    causationid Nullable(String) COMMENT 'Identifier of the event that caused this one' CODEC(ZSTD(1)),
    mapped Bool DEFAULT true COMMENT 'False: the corridor map does not name the touchpoint',
    late Bool DEFAULT false COMMENT 'True: later than the allowed lateness behind its source''s watermark',
    INDEX subject_bloom subject TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX journey_bloom journey TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX id_bloom id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, touchpoint, time, source, id, subject, journey)
TTL toDateTime(received_at) + INTERVAL 400 DAY
COMMENT 'Accepted touchpoint events with their experience. Read the view corredor.events, which shows each event once';

CREATE TABLE IF NOT EXISTS corredor.rejected_events
(
    reason LowCardinality(String) COMMENT 'Why it was not accepted',
    detail String COMMENT 'What is wrong and where in the event' CODEC(ZSTD(1)),
    topic LowCardinality(String) COMMENT 'Topic it stands in',
    partition Int32 COMMENT 'Partition it stands in' CODEC(T64, ZSTD(1)),
    offset Int64 COMMENT 'Offset in that partition' CODEC(DoubleDelta, ZSTD(1)),
    received_at DateTime64(6, 'UTC') COMMENT 'When Kafka received it' CODEC(DoubleDelta, ZSTD(1)),
    key Nullable(String) COMMENT 'Kafka key, the bytes as they came' CODEC(ZSTD(1)),
    raw Nullable(String) COMMENT 'Kafka value, the bytes as they came' CODEC(ZSTD(3)),
    headers Map(LowCardinality(String), Nullable(String)) COMMENT 'Kafka headers, the bytes as they came' CODEC(ZSTD(1)),
    INDEX received_at_minmax received_at TYPE minmax GRANULARITY 1,
    INDEX reason_set reason TYPE set(32) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (topic, partition, offset, received_at)
TTL toDateTime(received_at) + INTERVAL 90 DAY
COMMENT 'Events that broke the contract. Read the view corredor.rejections, which shows each once';

CREATE TABLE IF NOT EXISTS corredor.experience_slices
(
    kind LowCardinality(String) COMMENT 'What the slice is about: touchpoint',
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    touchpoint LowCardinality(String) COMMENT 'Touchpoint',
    channel LowCardinality(String) COMMENT 'Channel',
    stage LowCardinality(String) COMMENT 'Stage',
    actor LowCardinality(String) COMMENT 'Actor',
    contact LowCardinality(String) COMMENT 'direct or indirect',
    segment LowCardinality(String) COMMENT 'Segment key; empty: over all segments',
    segment_value LowCardinality(String) COMMENT 'Segment value; empty: over all segments',
    bucket DateTime64(0, 'UTC') COMMENT 'Start of the 10-second bucket of event time' CODEC(DoubleDelta, ZSTD(1)),
    origin LowCardinality(String) COMMENT 'Topic and partition it was counted from',
    part Int64 COMMENT 'Offset of the first event counted in it' CODEC(DoubleDelta, ZSTD(1)),
    version Int64 COMMENT 'Offset of the last event counted in it; the newest version replaces the others' CODEC(DoubleDelta, ZSTD(1)),
    n UInt64 COMMENT 'Events, those without a score included' CODEC(T64, ZSTD(1)),
    scored UInt64 COMMENT 'Events with a score x' CODEC(T64, ZSTD(1)),
    sum_x Float64 COMMENT 'Sum of x' CODEC(ZSTD(1)),
    sum_xx Float64 COMMENT 'Sum of x squared' CODEC(ZSTD(1)),
    negative UInt64 COMMENT 'Events with x < 0.4' CODEC(T64, ZSTD(1)),
    neutral UInt64 COMMENT 'Events with 0.4 <= x < 0.7' CODEC(T64, ZSTD(1)),
    positive UInt64 COMMENT 'Events with x >= 0.7' CODEC(T64, ZSTD(1)),
    gap_n UInt64 COMMENT 'Events with a promise' CODEC(T64, ZSTD(1)),
    gap_sum Float64 COMMENT 'Sum of gaps, in tolerances' CODEC(ZSTD(1)),
    gap_broken UInt64 COMMENT 'Broken promises (gap < 0)' CODEC(T64, ZSTD(1)),
    wait_n UInt64 COMMENT 'Events with a wait' CODEC(T64, ZSTD(1)),
    wait_log_sum Float64 COMMENT 'Sum of ln(wait in ms, at least 1)' CODEC(ZSTD(1)),
    wait_log_sum2 Float64 COMMENT 'Sum of the squares of ln(wait in ms, at least 1)' CODEC(ZSTD(1)),
    wait_satisfied UInt64 COMMENT 'Waits up to the tolerable wait T' CODEC(T64, ZSTD(1)),
    wait_tolerating UInt64 COMMENT 'Waits over T and up to 4 T' CODEC(T64, ZSTD(1)),
    nps_n UInt64 COMMENT 'NPS answers' CODEC(T64, ZSTD(1)),
    nps_promoters UInt64 COMMENT 'NPS answers 9 and 10' CODEC(T64, ZSTD(1)),
    nps_detractors UInt64 COMMENT 'NPS answers 0 to 6' CODEC(T64, ZSTD(1)),
    csat_n UInt64 COMMENT 'CSAT answers' CODEC(T64, ZSTD(1)),
    csat_top UInt64 COMMENT 'CSAT answers in the top two of five' CODEC(T64, ZSTD(1)),
    ces_n UInt64 COMMENT 'CES 2.0 answers' CODEC(T64, ZSTD(1)),
    ces_sum Float64 COMMENT 'Sum of CES answers on 1 to 7' CODEC(ZSTD(1)),
    ces_sum2 Float64 COMMENT 'Sum of squares of CES answers' CODEC(ZSTD(1)),
    abandoned UInt64 COMMENT 'Events with outcome abandoned' CODEC(T64, ZSTD(1)),
    pending UInt64 COMMENT 'Events with outcome pending' CODEC(T64, ZSTD(1)),
    late UInt64 COMMENT 'Late events' CODEC(T64, ZSTD(1)),
    waits Map(Int16, UInt64) COMMENT 'Histogram of waits: key i is g^(i-1) < ms <= g^i, g = 1.02/0.98; key -1 is 0 ms' CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When the row was written' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket)
ORDER BY (tenant, kind, touchpoint, segment, segment_value, bucket, channel, stage, actor, contact, origin, part)
TTL inserted_at + INTERVAL 400 DAY
COMMENT 'Mergeable sums per cell, 10-second bucket, origin and part. Read the view corredor.slices, which merges them';

CREATE TABLE IF NOT EXISTS corredor.experience_scores
(
    tenant LowCardinality(String) COMMENT 'Brand or business unit',
    scope LowCardinality(String) COMMENT 'What is scored: touchpoint, channel, stage or corridor',
    name LowCardinality(String) COMMENT 'The touchpoint, channel or stage; empty for the corridor',
    segment LowCardinality(String) COMMENT 'Segment key; empty: over all segments',
    segment_value LowCardinality(String) COMMENT 'Segment value; empty: over all segments',
    window LowCardinality(String) COMMENT 'Length of the window: 5m, 1h or 24h',
    at DateTime64(0, 'UTC') COMMENT 'End of the window, exclusive' CODEC(DoubleDelta, ZSTD(1)),
    version Int64 COMMENT 'The newest version replaces the others' CODEC(DoubleDelta, ZSTD(1)),
    n UInt64 COMMENT 'Events in the window' CODEC(T64, ZSTD(1)),
    scored UInt64 COMMENT 'Events with a score x' CODEC(T64, ZSTD(1)),
    score Nullable(Float64) COMMENT 'Score, 0 to 100; NULL is unknown (too few events)' CODEC(ZSTD(1)),
    score_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of score' CODEC(ZSTD(1)),
    score_high Nullable(Float64) COMMENT 'High end of the 95 % interval of score' CODEC(ZSTD(1)),
    negative Nullable(Float64) COMMENT 'Share with x < 0.4, 0 to 1' CODEC(ZSTD(1)),
    negative_low Nullable(Float64) COMMENT 'Low end of the 95 % Wilson interval of negative' CODEC(ZSTD(1)),
    negative_high Nullable(Float64) COMMENT 'High end of the 95 % Wilson interval of negative' CODEC(ZSTD(1)),
    neutral Nullable(Float64) COMMENT 'Share with 0.4 <= x < 0.7, 0 to 1' CODEC(ZSTD(1)),
    neutral_low Nullable(Float64) COMMENT 'Low end of the 95 % Wilson interval of neutral' CODEC(ZSTD(1)),
    neutral_high Nullable(Float64) COMMENT 'High end of the 95 % Wilson interval of neutral' CODEC(ZSTD(1)),
    positive Nullable(Float64) COMMENT 'Share with x >= 0.7, 0 to 1' CODEC(ZSTD(1)),
    positive_low Nullable(Float64) COMMENT 'Low end of the 95 % Wilson interval of positive' CODEC(ZSTD(1)),
    positive_high Nullable(Float64) COMMENT 'High end of the 95 % Wilson interval of positive' CODEC(ZSTD(1)),
    gap Nullable(Float64) COMMENT 'Mean gap, in tolerances; positive is better than promised' CODEC(ZSTD(1)),
    gap_broken Nullable(Float64) COMMENT 'Share of broken promises, 0 to 1' CODEC(ZSTD(1)),
    gap_n UInt64 COMMENT 'Events with a promise' CODEC(T64, ZSTD(1)),
    nps Nullable(Float64) COMMENT 'Net promoter score, -100 to 100' CODEC(ZSTD(1)),
    nps_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of nps' CODEC(ZSTD(1)),
    nps_high Nullable(Float64) COMMENT 'High end of the 95 % interval of nps' CODEC(ZSTD(1)),
    nps_n UInt64 COMMENT 'NPS answers' CODEC(T64, ZSTD(1)),
    csat Nullable(Float64) COMMENT 'Share of CSAT answers in the top two, 0 to 100' CODEC(ZSTD(1)),
    csat_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of csat' CODEC(ZSTD(1)),
    csat_high Nullable(Float64) COMMENT 'High end of the 95 % interval of csat' CODEC(ZSTD(1)),
    csat_n UInt64 COMMENT 'CSAT answers' CODEC(T64, ZSTD(1)),
    ces Nullable(Float64) COMMENT 'Mean CES 2.0 answer, 1 to 7; high is easy' CODEC(ZSTD(1)),
    ces_low Nullable(Float64) COMMENT 'Low end of the 95 % interval of ces' CODEC(ZSTD(1)),
    ces_high Nullable(Float64) COMMENT 'High end of the 95 % interval of ces' CODEC(ZSTD(1)),
    ces_n UInt64 COMMENT 'CES answers' CODEC(T64, ZSTD(1)),
    apdex Nullable(Float64) COMMENT 'Apdex of waits, 0 to 1' CODEC(ZSTD(1)),
    wait_n UInt64 COMMENT 'Events with a wait' CODEC(T64, ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now() COMMENT 'When the row was written' CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, scope, name, segment, segment_value, window, at)
TTL inserted_at + INTERVAL 400 DAY
COMMENT 'Rolling-window scores, one row per step. Read the view corredor.scores, which shows the newest version of each';
