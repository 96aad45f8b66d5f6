"""The words: frozen types, defaults, labels and names. No behaviour, no I/O."""
