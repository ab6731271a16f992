# An image whose command is fcn-tf: docs/install.md shows its use.
#   docker build -t fcn-tf .
#   docker build -t fcn-tf:gpu --build-arg DEVICE=gpu .
ARG PYTHON=3.11-slim-bookworm
ARG DEVICE=cpu

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON} AS cpu
ENV TENSORFLOW=tensorflow

FROM python:${PYTHON} AS gpu
ENV TENSORFLOW=tensorflow[and-cuda]

FROM ${DEVICE} AS installed
# Extras of the package, in brackets: [maps,video]
ARG EXTRAS=
COPY constraints.txt /constraints.txt
COPY --from=wheel /dist /dist
RUN python -m venv /opt/fcn-tf \
    && /opt/fcn-tf/bin/pip install --no-cache-dir --constraint /constraints.txt \
        "$(echo /dist/*.whl)${EXTRAS}" "${TENSORFLOW}" \
    && /opt/fcn-tf/bin/pip check

FROM python:${PYTHON}
COPY --from=installed /opt/fcn-tf /opt/fcn-tf
# Data sets and weights that are downloaded, and all that is written, lie in /work.
RUN useradd --uid 1000 --home-dir /work --create-home fcn
ENV PATH=/opt/fcn-tf/bin:$PATH HOME=/work PYTHONUNBUFFERED=1
USER 1000
WORKDIR /work
ENTRYPOINT ["fcn-tf"]
CMD ["--help"]
