"""What goes wrong on purpose: requests that fail, admission that refuses, a client that dies at a write."""
