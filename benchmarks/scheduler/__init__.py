"""What durable work costs, and what it survives."""
