"""Runs folders of hostile programs against the sandbox, and tells by what traces one of them won."""
