# Our flows, one image for all: `panda` is the entry point, the command says which flow.
FROM python:3.11.13-slim-bookworm AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
COPY requirements/core.txt requirements/core.txt
RUN uv venv .venv && uv pip sync --python .venv/bin/python --require-hashes requirements/core.txt
COPY . .
RUN uv pip install --python .venv/bin/python --no-deps -e .

FROM python:3.11.13-slim-bookworm
RUN useradd --create-home --uid 10001 panda && install -d -o panda -g panda /data /data/lake
COPY --from=build --chown=panda:panda /app /app
WORKDIR /app
USER panda
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1
ENTRYPOINT ["panda"]
CMD ["--help"]
