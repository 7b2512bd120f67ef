"""The text tier: indexes that propose memories for a question."""
