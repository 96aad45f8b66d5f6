"""What is read from the cluster and concluded from it; nothing here prints."""
