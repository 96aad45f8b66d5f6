"""The verbs: read, conclude, show. Each is imported when it runs."""
