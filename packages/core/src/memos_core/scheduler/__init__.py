"""Durable work is done here: the embedded queue over the catalog, and the worker's threads."""
