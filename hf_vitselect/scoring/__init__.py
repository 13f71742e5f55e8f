"""Score a pool at scale: shards on disk, workers, resume.

`score` is the entry. A task maps a table of rows to a table of new columns; an engine runs it on every shard,
in this process, in worker processes or in Ray actors, and the ledger keeps the finished shards. A killed
worker's shard is retried (`retry`), a killed run resumes from the ledger (`shards`).
"""

from hf_vitselect.scoring.score import score

__all__ = ["score"]
