"""What an adapter adds to the verbs of the core."""
