"""Fixtures live in modules of their own, by subject."""

pytest_plugins = ["tests.fix_stack"]
