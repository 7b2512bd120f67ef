"""How well recall finds, on two public corpora, beside the recipes it has to beat."""
