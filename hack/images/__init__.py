"""Container images without a container engine: buildah builds the Dockerfile as it stands.

What is built is an archive that `docker load`, `podman load`, `kind load image-archive` and containerd's
`ctr images import` take. Everything is kept in the cache folder of hack/cluster; no daemon runs and no mount stays.

    platforms   the platforms, and how programs of another one are run
    packages    the Debian packages that do the work
    buildah     buildah, with a store of ours and no mount left behind
    base        the base image: the official one, else one of Debian's packages
    controller  the controller's image
    archive     what an archive holds, and how large it is
    sbom        the bill of materials of what is locked
"""
