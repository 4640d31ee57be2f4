"""Sequential detection of drops, congestion, blockage and silence: pure state machines fed with settled buckets.

Each detector watches one place. The caller feeds every 10-second bucket once, in time order, after the watermark has
passed it. The state of a detector is a msgspec struct, a deterministic function of the buckets fed.
"""
