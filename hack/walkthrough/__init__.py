"""Plays a page of the documentation: gives the commands of its console blocks; shows, keeps or checks what they print.

page     the page's text, its commands and what they printed
shell    one shell, in which the commands are given one after the other
compare  whether two outputs say the same: names of revisions, times and ages differ each time
cluster  a cluster with real nodes that holds the images
cli      the options of hack/quickstart
"""
