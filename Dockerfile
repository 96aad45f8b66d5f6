# The controller's image: Python, the locked dependencies and this package; no compiler, no pip of its own, not root.
# Any builder takes it, and `hack/image build` does without an engine. Where there is a registry, pin the base by digest:
#   docker build --build-arg BASE=python:3.13.9-slim-trixie@sha256:... --tag modelinfer-controller:0.1.0 .
ARG BASE=python:3.13.9-slim-trixie

FROM ${BASE} AS build
WORKDIR /build
RUN python -m venv --without-pip /app
COPY requirements-image.lock ./
RUN python -m pip --python /app/bin/python install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --only-binary :all: -r requirements-image.lock
# That package holds two Kubernetes clients, and we use the configuration of the asynchronous one: the other, and the calls
# of both, are more than half of all that was just installed.
RUN cd "$(/app/bin/python -c 'import site; print(site.getsitepackages()[0])')/kubernetes" && \
    find . -mindepth 1 -maxdepth 1 ! -name aio -exec rm -r {} + && rm -r aio/client/api && touch __init__.py
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
