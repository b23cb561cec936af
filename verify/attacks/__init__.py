"""Runs folders of hostile programs against the sandbox, and detects the traces by which one of them wins."""
