"""The KV tier's work: what stands in a prompt's stable prefix, and the states that spare computing it."""
