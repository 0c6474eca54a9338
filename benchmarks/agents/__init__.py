"""Runs real coding agents and SDKs against a scripted provider, with or without a proxy."""
