# The controller's image: Python, the locked dependencies and this package; no compiler, no pip of its own, not root.
# A test carries out the steps of `build` as they stand here and starts what comes of them. Building the image itself,
# and pinning the base by digest, is left to where there is a registry:
#   docker build --build-arg BASE=python:3.13.9-slim-trixie@sha256:... --tag modelinfer-controller:0.1.0 .
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
WORKDIR /build
RUN python -m venv --without-pip /app
COPY requirements-image.lock ./
RUN python -m pip --python /app/bin/python install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: -r requirements-image.lock
COPY modelinfer_controller/ ./modelinfer_controller/
RUN cp -r modelinfer_controller "$(/app/bin/python -c 'import site; print(site.getsitepackages()[0])')"
RUN /app/bin/python -m compileall -q /app/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="modelinfer-controller" \
      org.opencontainers.image.description="Distributed LLM inference on Kubernetes: the ModelInfer controller" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/app/bin/python", "-m", "modelinfer_controller"]
CMD ["run"]
