-- Receipts of customers forgotten: that it was done, not who it was.

CREATE TABLE IF NOT EXISTS corredor.forgotten
(
    request String COMMENT 'Name of the request',
    asked_at DateTime64(3, 'UTC') COMMENT 'When it was made',
    done_at DateTime64(3, 'UTC') COMMENT 'When the last of it was done',
    salt FixedString(32) COMMENT 'Hexadecimal; goes into digest before the subject',
    digest FixedString(64) COMMENT 'SHA-256 of salt (its bytes) and subject, hexadecimal: whoever knows the subject can check whose receipt it is',
    rows Map(LowCardinality(String), UInt64) COMMENT 'Rows erased by table',
    records Map(LowCardinality(String), UInt64) COMMENT 'Records of Kafka erased by topic',
    remaining Map(LowCardinality(String), Nullable(Float64)) COMMENT 'Topics where records still stood, and for how many seconds at most; NULL: while the embedded Kafka ran'
)
ENGINE = ReplacingMergeTree
ORDER BY request
COMMENT 'Receipts of customers forgotten. SELECT * FROM forgotten WHERE digest = lower(hex(SHA256(concat(unhex(salt), \'the subject\'))))';
