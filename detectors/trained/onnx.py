"""The one place that meets onnxruntime: a model file becomes a function of named arrays."""

import os
from collections.abc import Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.manifest import ModelError
from detectors.trained.weights import graph_of

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
_REFUSED_TO_LOAD = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)
_REFUSED_TO_RUN = (failures.Fail, failures.InvalidArgument, failures.RuntimeException)
_PROVIDERS = ["CPUExecutionProvider"]


class Model:
    """A loaded model on one CPU thread that never spins: detection must not take the traffic's cores."""

    def __init__(self, path: Path) -> None:
        """Load `path`; ModelError when it is no model that this onnxruntime can run."""
        try:
            self._session = _mapped(path)
        except _REFUSED_TO_LOAD as error:
            raise ModelError(f"{path}: onnxruntime cannot load it ({error}); run `make train`") from error
        self._output = self._session.get_outputs()[0].name

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """The model's first output for one batch."""
        out: npt.NDArray[np.float32] = self._session.run([self._output], dict(inputs))[0]
        return out


def _session(path: Path) -> "onnxruntime.InferenceSession":
    return onnxruntime.InferenceSession(str(path), _options(), providers=_PROVIDERS)


def _mapped(path: Path) -> "onnxruntime.InferenceSession":
    """The same with its large weights left in the file: of a table in it, the rows that are used get into memory."""
    file = path.resolve()
    try:
        with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as model:
            graph = graph_of(model, file.name)
    except (OSError, ValueError):
        return _session(path)  # which says what is wrong with it
    options = _options()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file.parent))
    return onnxruntime.InferenceSession(graph, options, providers=_PROVIDERS)


def _options() -> "onnxruntime.SessionOptions":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


class Tokens(NamedTuple):
    """A window of a text, [length] each: ids, 1 for each that is no padding, and which of two texts each is of."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]


class RefusedError(Exception):
    """A model that cannot do this; the message is the library's first sentence."""


class TextModel:
    """A classifier that somebody else trained: token ids in, one score an output out, one window a run.

    It may take the inputs of `TAKES` only. `length` is the number of tokens that it insists on, 0 where it takes any.
    """

    TAKES: Mapping[str, str] = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "kinds"}

    def __init__(self, path: Path) -> None:
        """Load `path`. Raises ModelError when it is no text classifier that this onnxruntime can run."""
        try:
            self._session = _session(path)
        except _REFUSED_TO_LOAD as error:
            raise ModelError(f"{path}: onnxruntime cannot load it ({_sentence(error)})") from error
        self._types: dict[str, Any] = {}
        self.length = 0
        for given in self._session.get_inputs():
            if given.name not in self.TAKES or given.type not in _INTEGERS:
                takes = ", ".join(self.TAKES)
                raise ModelError(
                    f"{path}: it wants an input {given.name!r} of type {given.type}; inputs may be {takes}, of integers"
                )
            self._types[given.name] = _INTEGERS[given.type]
            if len(given.shape) == 2 and isinstance(given.shape[1], int):
                self.length = given.shape[1]
        if "input_ids" not in self._types:
            raise ModelError(f"{path}: it has no input `input_ids`, so it is no model that reads tokens")
        names = [output.name for output in self._session.get_outputs()]
        self._output = "logits" if "logits" in names else names[0]

    def run(self, window: Tokens) -> npt.NDArray[np.float64]:
        """The scores [outputs] of one window. Raises RefusedError."""
        missing = max(self.length - len(window.ids), 0)
        inputs = {
            name: np.pad(getattr(window, self.TAKES[name]), (0, missing)).astype(kind)[None]
            for name, kind in self._types.items()
        }
        try:
            out = self._session.run([self._output], inputs)[0]
        except _REFUSED_TO_RUN as error:
            raise RefusedError(_sentence(error)) from error
        if not isinstance(out, np.ndarray) or out.ndim != 2 or out.shape[0] != 1:
            raise RefusedError(f"its output {self._output!r} is not one row of scores")
        scores: npt.NDArray[np.float64] = out[0].astype(np.float64)
        return scores


_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


class TextTokenizer:
    """A tokenizer.json, as the library `tokenizers` writes it."""

    def __init__(self, path: Path) -> None:
        """Read `path`. Raises ModelError."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:
            raise ModelError(f"{path}: is no tokenizer.json ({_sentence(error)})") from error
        limit = self._tokenizer.truncation
        self.most_tokens: int = limit["max_length"] if limit else 0  # that it was made to cut a text to, 0 for none
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @property
    def largest(self) -> int:
        """The largest id that it gives."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    @property
    def frame(self) -> int:
        """How many tokens it puts around a text."""
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def windows(self, text: str, length: int, overlap: int) -> list[Tokens]:
        """A text in windows of at most `length` tokens, which share `overlap`; each with the frame around it."""
        self._tokenizer.enable_truncation(length, stride=overlap)
        found = self._tokenizer.encode(text)
        return [_tokens(window) for window in (found, *found.overflowing)]


def _tokens(found: "tokenizers.Encoding") -> Tokens:
    parts = found.ids, found.attention_mask, found.type_ids
    return Tokens(*(np.array(part, dtype=np.int64) for part in parts))


class Marks(NamedTuple):
    """The ids of the special pieces: for what is unknown, before a text, and after it."""

    unknown: int
    first: int
    last: int


class Tokenizer:
    """BERT's word pieces over a vocabulary file of one piece a line."""

    marks = Marks(100, 101, 102)
    cased = False

    def __init__(self, path: Path) -> None:
        """Read `path`; ModelError when it cannot be read or lacks the special pieces."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path}: cannot be read ({error}); reinstall, or run `make train`") from error
        vocabulary = {piece: index for index, piece in enumerate(lines)}
        if missing := {"[UNK]", "[CLS]", "[SEP]"} - vocabulary.keys():
            raise ModelError(f"{path}: lacks {sorted(missing)}, so it is no vocabulary; reinstall, or run `make train`")
        self._sizes = bytes(map(_letters, lines))
        self._tokenizer = tokenizers.Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
        self._tokenizer.normalizer = BertNormalizer()
        self._tokenizer.pre_tokenizer = BertPreTokenizer()

    def size(self, piece: int) -> int:
        """Letters and digits that a piece stands for; none for the special ones."""
        return self._sizes[piece]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The word pieces of each text, without the special ones around them."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _letters(piece: str) -> int:
    return 0 if piece.startswith("[") else min(sum(map(str.isalnum, piece.removeprefix("##"))), 255)
