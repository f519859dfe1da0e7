"""What the tests stand on: a stub of the Messages API, and real CLIs in a clean environment."""
