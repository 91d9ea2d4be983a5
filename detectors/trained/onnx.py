"""The one place that meets onnxruntime: a model file becomes a function of named arrays."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.manifest import ModelError

# From its import on, onnxruntime keeps a device id and a queue of events in the home directory, for its maker.
# Nothing of a gateway's machine is anybody else's business; `disable_telemetry_events` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread, as the model
import onnxruntime
import tokenizers
from onnxruntime.capi import onnxruntime_pybind11_state as failures
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

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


class Tokenizer:
    """BERT's word pieces over a vocabulary file of one piece a line."""

    def __init__(self, path: Path) -> None:
        """Read `path`; ModelError when it cannot be read or lacks the special pieces."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path}: cannot be read ({error}); reinstall, or run `make train`") from error
        vocabulary = {piece: index for index, piece in enumerate(lines)}
        if missing := {"[UNK]", "[CLS]", "[SEP]"} - vocabulary.keys():
            raise ModelError(f"{path}: lacks {sorted(missing)}, so it is no vocabulary; reinstall, or run `make train`")
        # Letters and digits that each piece stands for; none for the special ones.
        self.sizes = [
            0 if piece.startswith("[") else sum(map(str.isalnum, piece.removeprefix("##"))) for piece in lines
        ]
        self._tokenizer = tokenizers.Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
        self._tokenizer.normalizer = BertNormalizer()
        self._tokenizer.pre_tokenizer = BertPreTokenizer()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The word pieces of each text, without the special ones around them."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
