"""What the scheduler's parts cost and save."""
