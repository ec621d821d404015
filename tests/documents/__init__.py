"""Pages of docs/ that are made of the code, and what is checked of the others."""
