"""The decisions, pure: from what was observed and the time of day to a plan and a status. No I/O, no memory."""
