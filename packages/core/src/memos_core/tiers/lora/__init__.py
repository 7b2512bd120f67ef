"""The LoRA tier: memories that the weights know."""
