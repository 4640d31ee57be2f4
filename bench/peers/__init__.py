"""The same job done by Corredor's worker and by its peers, each in a virtual environment of its own.

`job.py` is what they share, and needs nothing but Python; `programs/` are the peers; `judge.py` computes the right
result offline and compares; `race.py` runs one of them; `report.py` makes the table. See docs/decisions/017-peers.md.
"""
