"""llama.cpp's own server with a model and so many tokens of context: python serve.py MODEL PORT CONTEXT."""

import sys
from threading import Event

import xllamacpp


def main(model: str, port: int, context: int) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.port = port
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = 1
    parameters.fit_params = parameters.warmup = parameters.ui = False
    _ = xllamacpp.Server(parameters)  # serves as long as it is kept
    Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
