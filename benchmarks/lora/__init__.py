"""What an adapter knows of people who do not exist, what it costs, and what several cost each other."""
