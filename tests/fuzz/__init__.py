"""Fuzzing by Hypothesis: what strangers send. Its findings are kept as explicit examples."""
