# One image for every process of a facility: compose.yaml says which command each service runs.
#
#   TORCH_INDEX      index of torch's CPU build. Empty: the package index alone, whose build for Linux brings gigabytes of
#                    CUDA libraries for the embedder, which does not need them.
#   XLLAMACPP_INDEX  index of xllamacpp's CUDA, ROCm or Vulkan build; empty: the CPU build of the package index.
#                    docs/operations.md, "The graphics card", names the indexes.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG XLLAMACPP_INDEX=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml constraints.txt ./
RUN python -m venv /opt/havre \
    && /opt/havre/bin/pip install -q -c constraints.txt pip \
    && /opt/havre/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && /opt/havre/bin/pip install --only-binary :all: -c constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt \
    && if [ -n "$XLLAMACPP_INDEX" ]; then \
        /opt/havre/bin/pip install --only-binary :all: --no-deps --force-reinstall -c constraints.txt \
            --index-url "$XLLAMACPP_INDEX" xllamacpp; \
    fi

FROM ${PYTHON_IMAGE}
# libgomp: OpenMP, for torch and llama.cpp. Fixed ids, so that files of secrets and volumes can be given to them.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 havre \
    && useradd --uid 10001 --gid havre --no-create-home --home-dir /tmp --shell /usr/sbin/nologin havre \
    && install -d -m 0700 -o havre -g havre /data /models
COPY --from=packages /opt/havre /opt/havre
WORKDIR /srv/havre
COPY . .
ENV PATH=/opt/havre/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    TOKENIZERS_PARALLELISM=false \
    HAVRE_DATA_DIR=/data \
    HAVRE_MODELS_DIR=/models
RUN python -m compileall -q .
USER 10001:10001
VOLUME ["/data", "/models"]
EXPOSE 8000
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "-v", "0", "--no-server-name", "portal.asgi:application"]
