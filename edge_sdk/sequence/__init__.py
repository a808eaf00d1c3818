"""Exporting recurrent models: what is exported, how it is proved, and the flow between."""
