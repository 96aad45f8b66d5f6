"""What unit, sim and integration tests share: how a spec is built, and what the rules of an update are."""
