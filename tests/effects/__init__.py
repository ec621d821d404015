"""What each setting changes, seen in the code that reads it."""
