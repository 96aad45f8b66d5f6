"""How the demo fails: with one line that says what to look at."""


class DemoFailed(Exception):
    """str() is for people."""
