"""Random and scripted cluster histories in virtual time: the whole controller against the embedded control plane."""
