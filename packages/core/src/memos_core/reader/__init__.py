"""From what was said to what is written: drafts, their keys, and the files they come in."""
