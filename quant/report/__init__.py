"""Verdicts in, something that a person or a machine reads out. Rounds only here."""
