"""The page of `kubectl modelinfer dashboard`: on this machine alone, for whom has its token, and it changes nothing."""
