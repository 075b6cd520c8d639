"""Everything needed at query time: from the text around a cursor to ranked APIs, and the language server."""

import os

__version__ = "0.1.0"

# Before numpy loads: its threads wait for one another, and beside other work a search of 0.1 ms took 20.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Before onnxruntime loads: since 1.32 it reports its use to its maker, over the network, unless told not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
