"""Where shards of a pool are scored, and the ledger of those that are finished."""
