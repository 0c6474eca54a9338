"""Stand-ins the test suite runs against: a scripted model provider."""
