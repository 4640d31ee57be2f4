"""The programs that `bench.ingest` sets against each other, each a process of its own.

A contestant prints `bench ready` when it may start, and ends on SIGTERM. It may print `bench batch N`, its mean batch.
The one whose commits are not waited for prints `bench done` after its last event, then `bench counts` and its counts.
"""

READY = "bench ready"
DONE = "bench done"
BATCH = "bench batch"
COUNTS = "bench counts"

#: Arguments of the loop by hand.
STATELESS = "--stateless"
NO_JOURNEYS = "--no-journeys"

#: The first part of the events, for the contestants that are too slow for all of them, and where their results go.
SHORT_TOPIC = "bench.short"
OUTPUT_TOPIC = "bench.short.scored"
#: Their Tables: sums by place and window, and what the one that drops duplicates remembers.
SUMS_TABLE = "sums"
IDS_TABLE = "ids"
