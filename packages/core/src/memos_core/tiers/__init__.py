"""The three tiers in which a memory can live: text, KV caches and adapters."""
