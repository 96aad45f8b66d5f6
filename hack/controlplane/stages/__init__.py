"""How kwok plays nodes and pods: its Stage objects, written as JSON when a cluster starts.

stage    one Stage, and the words it is made of
nodes    a new node becomes Ready
pods     the life of a pod, and the annotations that choose another one
"""
