"""`make demo`: one ModelInfer becomes pods, grows, crashes and is updated, live on the terminal.

clusters     the control plane: simulated in this process, or that of hack/cluster
controller   `modelinfer-controller run` beside it, as its users run it
example      the ModelInfer that is shown: hack/demo/modelinfer.yaml, in the demo's time
steps        what is done to it, and when that is complete
recorder     what was seen during a step: how long it took, the lowest availability, which pods are new
layout       the tree of `kubectl modelinfer tree`, fitted to the height of the terminal
screen       drawing: in place on a terminal, line by line elsewhere
runner       the steps in their order, the summary, and how to go on by hand
"""
