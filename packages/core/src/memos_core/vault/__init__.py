"""The truth: SQL rows, content-addressed bytes, and the debt to the index."""
