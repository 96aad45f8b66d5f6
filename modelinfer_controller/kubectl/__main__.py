"""`python -m modelinfer_controller.kubectl` is `kubectl modelinfer`."""

from modelinfer_controller.kubectl.cli.main import main

main()
