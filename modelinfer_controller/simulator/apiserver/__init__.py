"""The API server: storage, watches, validation, admission, patches."""
