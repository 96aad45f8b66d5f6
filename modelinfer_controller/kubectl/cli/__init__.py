"""What people type: commands, options, completion."""
