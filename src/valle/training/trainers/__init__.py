"""How each model is trained, and the loop that all of them share."""
