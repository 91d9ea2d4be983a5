"""Training in bfloat16. Needs torch, which is not among the project's dependencies: without it these are skipped."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is there for training only: detectors/training/requirements.txt")

from detectors.training.encoder.precision import Trainer  # noqa: E402 - it imports torch

RATE, STEPS = 2.0**-12, 64


def network(weight: float = 1.0) -> Any:
    """One that multiplies by four weights, beside one that does not learn."""
    made = torch.nn.ModuleDict({"head": torch.nn.Linear(4, 1, bias=False), "fixed": torch.nn.Linear(4, 1)})
    torch.nn.init.constant_(made["head"].weight, weight)
    made["fixed"].requires_grad_(False)
    return made


def trainer_of(made: Any, average: float = 0.5) -> Trainer:
    return Trainer(made, [(list(made["head"].parameters()), RATE)], average)


def learn(trainer: Trainer, made: Any, steps: int) -> None:
    """The loss is the output for ones, so each step of Adam takes about the rate off each weight."""
    for _ in range(steps):
        trainer.step(made["head"](torch.ones(1, 4, dtype=torch.bfloat16)).float().sum(), 1.0)


def weights(trainer: Trainer) -> Any:
    return trainer.state()["weights"][0]


def test_steps_too_small_for_bfloat16_add_up() -> None:
    """Beside 1 the nearest numbers of bfloat16 are 2^-8 below and 2^-7 above: one step alone would be rounded away."""
    made = network()
    trainer = trainer_of(made)
    learn(trainer, made, 1)
    assert made["head"].weight.tolist() == [[1.0] * 4]
    assert (weights(trainer) < 1).all()
    learn(trainer, made, STEPS - 1)
    assert torch.allclose(weights(trainer), torch.full((4,), 1 - STEPS * RATE), atol=RATE)
    assert torch.equal(made["head"].weight.flatten(), weights(trainer).bfloat16())


def test_it_learns_what_adamw_learns_in_fp32() -> None:
    made, plain = network(), network()
    trainer = trainer_of(made)
    learn(trainer, made, STEPS)
    optimiser = torch.optim.AdamW(plain["head"].parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    for _ in range(STEPS):
        optimiser.zero_grad()
        plain["head"](torch.ones(1, 4)).sum().backward()
        torch.nn.utils.clip_grad_norm_(plain["head"].parameters(), 1.0)
        optimiser.step()
    assert torch.allclose(weights(trainer), plain["head"].weight.flatten(), atol=RATE / 10)


def test_what_does_not_learn_stays() -> None:
    made = network()
    before = made["fixed"].weight.bfloat16()
    learn(trainer_of(made), made, STEPS)
    assert torch.equal(made["fixed"].weight, before)


def test_the_average_lags_behind_and_has_names() -> None:
    made = network()
    trainer = trainer_of(made)
    learn(trainer, made, STEPS)
    averaged = trainer.averaged()
    assert list(averaged) == ["head.weight"]
    assert averaged["head.weight"].dtype == torch.float32
    assert averaged["head.weight"].shape == (1, 4)
    assert (averaged["head.weight"] > weights(trainer)).all()
    assert (averaged["head.weight"] < 1).all()


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped() -> None:
    made, again = network(), network(weight=3.0)
    trainer, resumed = trainer_of(made), trainer_of(again)
    learn(trainer, made, 20)
    resumed.resume({name: _copy(value) for name, value in trainer.state().items()})
    assert torch.equal(again["head"].weight, made["head"].weight)
    learn(trainer, made, 12)
    learn(resumed, again, 12)
    assert torch.equal(weights(resumed), weights(trainer))
    assert torch.equal(resumed.averaged()["head.weight"], trainer.averaged()["head.weight"])
    assert resumed.steps == trainer.steps == 32


def _copy(value: Any) -> Any:
    """As if it had been written to a file and read."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: _copy(each) for name, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value
