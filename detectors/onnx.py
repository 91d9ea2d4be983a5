"""The one place that meets onnxruntime: a model file becomes a function of named arrays."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.manifest import ModelError

# From its import on, onnxruntime keeps a device id and a queue of events in the home directory, for its maker.
# Nothing of a gateway's machine is anybody else's business; `disable_telemetry_events` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

# onnxruntime's exceptions share no base but Exception.
_REFUSALS = (failures.Fail, failures.InvalidGraph, failures.InvalidProtobuf, failures.NoSuchFile)


class Model:
    """A loaded model on one CPU thread that never spins: detection must not take the traffic's cores."""

    def __init__(self, path: Path) -> None:
        """Load `path`; ModelError when it is no model that this onnxruntime can run."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _REFUSALS as error:
            raise ModelError(f"{path}: onnxruntime cannot load it ({error}); run `make train`") from error
        self._output = self._session.get_outputs()[0].name

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """The model's first output for one batch."""
        out: npt.NDArray[np.float32] = self._session.run([self._output], dict(inputs))[0]
        return out
