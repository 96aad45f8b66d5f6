"""The composition root: settings, probes, metrics, leadership. The only reader of clocks, environment and signals."""
