"""The KV tier: engines, the files of their states, and where those are kept."""
