"""Exporters of recurrent models: `to_<target>.py` offers `lower(request) -> Files`.

Every method of every file takes frames "x" (T, D) and the state "h" (1, H), and gives
the state "h_next" (1, H) and the "logits" (T, C) after each frame. Normalization is inside.
"""
