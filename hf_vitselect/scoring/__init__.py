"""Where shards of a pool are scored, and the ledger of those that are finished.

A worker maps tables to tables: it reads no data set and writes no file. `crew` holds what is the same for
every kind of worker; `processes` and `ray_actors` are the two kinds.
"""

from hf_vitselect.scoring.score import score

__all__ = ["score"]
