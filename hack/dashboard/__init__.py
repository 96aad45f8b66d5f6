"""The Grafana dashboard, made from a table of panels: `PYTHONPATH=hack python -m dashboard` writes it."""
