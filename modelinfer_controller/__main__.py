"""`python -m modelinfer_controller` is the command `modelinfer-controller`."""

from modelinfer_controller.app.cli import main

main()
