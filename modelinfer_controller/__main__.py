"""`python -m modelinfer_controller` is the command `modelinfer-controller`."""

from modelinfer_controller.cli import main

main()
