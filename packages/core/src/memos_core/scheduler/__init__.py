"""Durable work is done here; and what is moved between the tiers, when, and why, is decided here."""
