"""The read path: propose, rank, confirm, put in succession, pack; and the payer of the index's debt."""
