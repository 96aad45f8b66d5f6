"""The shell around the decisions: caches in, actions out. observe -> plan -> execute -> status."""
