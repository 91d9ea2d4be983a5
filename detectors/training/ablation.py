"""What data that may not be shipped would add: `python -m detectors.training.ablation --data DIR --card FILE`.

Trains the first stage twice, on the data of the shipped weights and on these together with the sets of other licences,
and measures both on the public benchmarks. Both networks are thrown away. Some twenty minutes on two cores.
"""

import argparse
import datetime
import logging
import math
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detectors.trained.networks import NgramNetwork
from detectors.training import compose, data, measure, public_sets, synthetic, train

OTHERS: Mapping[str, data.Source] = {
    "alpaca_eval_outputs": data.Source(),
    "alpaca_instructions": data.Source(),
    "babe": data.Source(),
    "do_not_answer_responses": data.Source(),
    "epitome_empathy": data.Source(balance="unawareness_of_emotions"),
    "flipattack": data.Source(),
    "fraud_r1": data.Source(),
    "jailjudge_mini": data.Source(),
    "liar": data.Source(cap=8_000, balance="misinformation"),
    "llmfake": data.Source(),
    "nazario_phishing": data.Source(),
    "normdial": data.Source(cap=12_000, balance="cultural_insensitivity"),
    "olid": data.Source(cap=14_000, balance="toxicity"),
    "ptc_propaganda": data.Source(cap=13_000, balance="propagandistic_misuse"),
    "qi_pure_bad_100": data.Source(),
    "rmcbench": data.Source(),
    "safe_unlearning": data.Source(),
    "safeguard_prompt_injection": data.Source(cap=9_000, balance="prompt_attacks"),
    "saferlhf_mini": data.Source(),
    "safety_tuned_llamas": data.Source(),
    "seval_attack_en": data.Source(),
    "seval_base_risk_en": data.Source(),
    "socialdial": data.Source(),
    "tensor_trust": data.Source(),
    "toxicchat_train_human": data.Source(),
    "unhealthy_conversations": data.Source(cap=9_000, balance="toxicity"),
}

log = logging.getLogger("detectors.training")

_Areas = dict[tuple[str, str, str], tuple[int, float]]  # by (benchmark, head, role): rows and AUROC


def main() -> None:
    """Train twice, measure twice, write the page."""
    parser = argparse.ArgumentParser(prog="python -m detectors.training.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--card", type=Path, required=True, help="file of the page")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    every_licence = {entry["licence_class"] for entry in data.manifest(options.data).values()}
    shippable, everything = (
        _areas(options, sources, frozenset(classes))
        for sources, classes in ((data.TRAIN, data.SHIPPABLE), ({**data.TRAIN, **OTHERS}, every_licence))
    )
    options.card.write_text(_page(shippable, everything, options.date), "utf-8")


def _areas(options: argparse.Namespace, sources: Mapping[str, data.Source], classes: frozenset[str]) -> _Areas:
    rng = random.Random(options.seed)
    rows = [*data.rows(options.data, sources, rng, classes), *synthetic.rows()]
    shown = data.without_dev(rows)
    shown += compose.rows(shown, rng)
    log.info("training on %d rows of %d sets", len(shown), len(sources))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ngram.onnx"
        train.export(train.train(shown, options.seed), list(data.HEADS), path)
        return _measured(NgramNetwork(path, len(data.HEADS)), options.data)


def _measured(network: NgramNetwork, folder: Path) -> _Areas:
    out: _Areas = {}
    heads = list(data.HEADS)
    for item in public_sets.BENCHMARKS:
        rows = [
            row
            for row in data.read(folder / "eval" / f"{item.file}.jsonl.gz")
            if item.label in row["labels"] and item.where(row)
        ]
        labels = np.array([row["labels"][item.label] == 1 for row in rows], np.bool_)
        found = network.score([public_sets.text_of(row, item.role) for row in rows])
        scores = np.nan_to_num(found.logits[:, heads.index(item.head)], nan=-np.inf)
        area = measure.auroc(scores, labels)
        if not math.isnan(area):
            out[item.title, item.head, item.role] = (len(rows), area)
    return out


def _page(shippable: _Areas, everything: _Areas, date: str) -> str:
    lines = [
        "# What other data would add",
        "",
        "AUROC of the first stage (`ngram`), trained on the data of the shipped weights and on these with "
        f"{len(OTHERS)} sets more whose licences do not let weights be shipped; one run each, same seed ({date}, "
        "`python -m detectors.training.ablation`). Neither network is shipped, and neither is the released one.",
        "",
        "Sets added: " + ", ".join(OTHERS) + ".",
        "",
        "| benchmark | head | role | rows | shippable data | all data | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, (rows, before) in shippable.items():
        after = everything[key][1]
        lines.append(
            f"| {key[0]} | `{key[1]}` | {key[2]} | {rows:,} | {before:.3f} | {after:.3f} | {after - before:+.3f} |"
        )
    gains = [everything[key][1] - before for key, (_, before) in shippable.items()]
    lines += ["", f"Mean gain over {len(gains)} rows: {float(np.mean(gains)):+.3f}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
