"""`assay evaluate` from the command line to the exit status, against model servers that do as a script says."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import main
from tests.support.judges.judge_models import JUDGES, chat_answer
from tests.support.servers.scripted_server import JSON, Peer, Server, answer, serve

pytestmark = pytest.mark.real_time  # the command has a loop of its own in another thread
Body = dict[str, Any]
Model = Callable[[Body], bytes]
QUICK = ("--count", "24", "--retries", "0", "--concurrency", "3")
FACTS = {"hexagon": "six", "Canada": "Ottawa"}


def says(text: str) -> bytes:
    return answer(json.dumps(chat_answer(text)).encode(), JSON)


def knows_causes(body: Body) -> bytes:
    """Says yes to what can only be right: an honest model of 50 %."""
    return says("Yes, it is.")


def chooses_first(body: Body) -> bytes:
    """Always takes A, and is sure of it."""
    return says("A, 90%")


def answers_nothing(body: Body) -> bytes:
    return says("")


def refuses(body: Body) -> bytes:
    return says("I'm sorry, but I can't help with that.")


def babbles(body: Body) -> bytes:
    return answer(b"\x00\xffdata: {]}\n\n", JSON)


def fails(body: Body) -> bytes:
    return answer(b'{"error": {"message": "broken"}}', JSON, status=b"500 Internal Server Error")


@asynccontextmanager
async def model_server(model: Model, bodies: list[Body] | None = None) -> AsyncIterator[Server]:
    async def script(peer: Peer) -> None:
        while True:
            body = json.loads((await peer.request()).body)
            if bodies is not None:
                bodies.append(body)
            await peer.send(model(body))

    async with serve(script) as server:
        yield server


async def evaluate(record: Path, *arguments: str, port: int = 0, model: str = "m") -> int:
    where = ("--base-url", f"http://127.0.0.1:{port}/v1", "--model", model) if port else ()
    return await asyncio.to_thread(main, ["evaluate", *QUICK, "--record", str(record), *where, *arguments])


def lines(record: Path, kind: str) -> list[Body]:
    return [line for line in map(json.loads, record.read_text().splitlines()) if line["kind"] == kind]


async def test_a_study_of_exact_checks_ends_in_a_table_with_intervals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with model_server(knows_causes) as server:
        status = await evaluate(tmp_path / "r", "--study", "causal_reasoning", port=server.port)
    assert status == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert re.match(r"causal_reasoning +m +50\.0% +3\d\.\d% to 6\d\.\d% +exact +24/24 +0 +0 +0 +0$", row)


@pytest.mark.slow
async def test_a_study_that_detectors_judge_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with model_server(lambda body: says("A nice day to you. Let us talk about gardens.")) as server:
        status = await evaluate(
            tmp_path / "r", "--study", "general_safety", "--format", "json", port=server.port
        )  # fmt: skip
    assert status == 0
    (found,) = json.loads(capsys.readouterr().out)["figures"]
    assert (found["basis"], found["estimate"], found["usable"]) == ("card", None, 24)
    assert found["flagged"]["estimate"] == 0
    assert 0 < found["high"] < 1


@pytest.mark.slow
async def test_a_judge_model_turns_flags_into_a_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def model(body: Body) -> bytes:
        if body["model"] == "wildguard":
            return answer(json.dumps(JUDGES["wildguard"](body)).encode(), JSON)
        return says("[refusal] No." if "router" in body["messages"][-1]["content"] else "Sure, like this:")

    async with model_server(model) as server:
        status = await evaluate(
            tmp_path / "r", "--study", "misuse", "--format", "json", "--judge-model", "wildguard", port=server.port
        )
    assert status == 0
    (found,) = json.loads(capsys.readouterr().out)["figures"]
    assert found["basis"] == "judge"
    assert found["low"] < found["estimate"] < found["high"]
    labels = {line["item"]: line.get("label") for line in lines(tmp_path / "r", "judged")}
    assert set(labels.values()) == {0.0, 1.0}


@pytest.mark.slow
async def test_what_was_answered_is_not_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bodies: list[Body] = []
    record = tmp_path / "r"
    async with model_server(chooses_first, bodies) as server:
        assert await evaluate(record, "--study", "hallucination", port=server.port) == 0
        first, whole = capsys.readouterr().out, record.read_bytes()
        assert await evaluate(record, "--study", "hallucination", port=server.port) == 0
        assert (len(bodies), record.read_bytes()) == (24, whole)
        assert capsys.readouterr().out == first
        record.write_bytes(whole[: len(whole) // 3])  # stopped within a line
        assert await evaluate(record, "--study", "hallucination", port=server.port) == 0
        assert capsys.readouterr().out == first
        assert len(bodies) < 48
        assert await evaluate(record, "--study", "hallucination", "--count", "30", port=server.port) == 0
        assert len(lines(record, "answer")) == 30


async def test_another_system_prompt_is_another_question(tmp_path: Path) -> None:
    bodies: list[Body] = []
    async with model_server(chooses_first, bodies) as server:
        for system in ("Be kind.", "Be brief."):
            assert await evaluate(
                tmp_path / "r", "--study", "gender_stereotype", "--system", system, port=server.port
            ) == 0  # fmt: skip
    assert len(bodies) == 48
    assert {body["messages"][0]["content"] for body in bodies} == {"Be kind.", "Be brief."}


async def test_two_models_are_compared_over_the_same_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "p.svg"

    def model(body: Body) -> bytes:
        if "prompt" in body:  # the base model, asked to go on with a text
            assert body["prompt"].endswith("\nAnswer:") == body["prompt"].startswith("Question:")
            return answer(json.dumps({"choices": [{"text": " A"}]}).encode(), JSON)
        return refuses(body) if len(body["messages"]) > 1 else says("A")  # it will not say how sure it is

    async with model_server(model) as server:
        status = await evaluate(
            tmp_path / "r", "--model", "tuned=large", "--completions", "base", "--study", "miscalibration",
            "--study", "typo_robustness", "--study", "copyright_leakage", "--picture", str(picture),
            "--format", "json", port=server.port, model="base",
        )  # fmt: skip
    assert status == 0
    found = json.loads(capsys.readouterr().out)
    by_name = {(each["study"], each["model"]): each for each in found["figures"]}
    assert by_name["miscalibration", "tuned"]["counts"]["refused"] == 24
    assert by_name["miscalibration", "tuned"]["basis"] == "none"
    assert by_name["miscalibration", "base"]["counts"]["unclear"] == 24  # it stated no confidence
    assert by_name["typo_robustness", "base"]["estimate"] == 0
    assert by_name["copyright_leakage", "base"]["estimate"] == 0
    words = {each["study"]: each["words"] for each in found["comparisons"]}
    assert words == {
        "miscalibration": "too few pairs", "typo_robustness": "no difference shown",
        "copyright_leakage": "no difference shown",
    }  # fmt: skip
    assert picture.read_text().startswith("<svg")


@pytest.mark.parametrize(("bound", "status"), [("0.9", 0), ("0.1", 1)])
async def test_a_threshold_decides_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bound: str, status: int
) -> None:
    async with model_server(knows_causes) as server:
        given = ("--study", "causal_reasoning", "--fail-over", f"causal_reasoning={bound}")
        assert await evaluate(tmp_path / "r", *given, port=server.port) == status
    assert ("over the threshold of 0.1" in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize(("model", "column"), [(answers_nothing, "empty"), (refuses, "refused")])
async def test_a_model_that_says_nothing_passes_no_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Model, column: str
) -> None:
    async with model_server(model) as server:
        given = ("--study", "hallucination", "--fail-over", "hallucination=0.99", "--format", "json")
        assert await evaluate(tmp_path / "r", *given, port=server.port) == 1
    told = capsys.readouterr()
    assert "no figure, for want of usable answers (0); that counts as more than 0.99" in told.err
    assert json.loads(told.out)["figures"][0]["counts"][column] == 24


@pytest.mark.parametrize(
    ("model", "said"), [(babbles, "unreadable"), (fails, "status: the server answered with status 500")]
)
async def test_a_model_that_is_broken_is_given_up_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Model, said: str
) -> None:
    async with model_server(model) as server:
        assert await evaluate(tmp_path / "r", "--study", "causal_reasoning", port=server.port) == 2
    told = capsys.readouterr().err
    assert "requests in a row failed" in told
    assert said in told
    assert "goes on from there" in told


async def test_nothing_is_lost_when_a_model_breaks_half_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered: list[str] = []
    whole = False

    def model(body: Body) -> bytes:
        if not whole and len(answered) == 10:
            return fails(body)
        # What the first run still had under way when it gave up may arrive in the second: it was not answered, so it
        # counts as asked again at most, and never as an answer that was lost.
        answered.append(json.dumps(body["messages"]))
        return knows_causes(body)

    async with model_server(model) as server:
        assert await evaluate(tmp_path / "r", "--study", "causal_reasoning", port=server.port) == 2
        assert len([line for line in lines(tmp_path / "r", "answer") if "error" not in line]) == 10
        whole = True
        assert await evaluate(tmp_path / "r", "--study", "causal_reasoning", port=server.port) == 0
    assert not set(answered[:10]) & set(answered[10:])
    assert "24/24" in capsys.readouterr().out


@pytest.mark.server
async def test_an_interrupt_is_said_and_loses_nothing(tmp_path: Path) -> None:
    record = tmp_path / "r"
    seen = asyncio.Semaphore(0)

    def model(body: Body) -> bytes:
        seen.release()
        return knows_causes(body)

    async with model_server(model) as server:
        given = ("--count", "300", "--study", "causal_reasoning", "--record", str(record), "--concurrency", "1")
        where = ("--base-url", f"http://127.0.0.1:{server.port}/v1", "--model", "m")
        command = (sys.executable, "-m", "gateway", "evaluate", *given, *where)
        process = await asyncio.create_subprocess_exec(
            *command,
            stderr=asyncio.subprocess.PIPE,
            # A shell's background job, as this test may be, ignores SIGINT, and what it starts would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        for _ in range(10):
            await seen.acquire()
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
    assert process.returncode == 130
    assert told.decode().splitlines()[-1] == (
        f"assay: stopped; {record} keeps what was answered, the same command goes on from there"
    )
    assert len(lines(record, "answer")) >= 9


@pytest.mark.parametrize("study", ["general_safety", "misuse"])
async def test_a_filter_before_the_model_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], study: str
) -> None:
    """As Azure, and a gateway with a policy, answer: neither harm came out nor was anything done as asked."""
    blocked = b'{"error": {"message": "kept back", "code": "content_filter"}}'

    def model(body: Body) -> bytes:
        return answer(blocked, JSON, status=b"400 Bad Request")

    async with model_server(model) as server:
        assert await evaluate(tmp_path / "r", "--study", study, "--fail-over", f"{study}=0.1", port=server.port) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split() == [study, "m", "0.0%", "0.0%", "to", "9.8%", "exact", "24/24", "24", "0", "0", "0"]


async def test_an_address_where_nobody_listens_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with model_server(refuses) as server:
        port = server.port
    assert await evaluate(tmp_path / "r", "--study", "causal_reasoning", port=port) == 2
    assert "m: 5 requests in a row failed" in capsys.readouterr().err


async def test_so_is_one_that_is_asked_too_little_to_fail_in_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with model_server(refuses) as server:
        port = server.port
    assert await evaluate(tmp_path / "r", "--study", "causal_reasoning", "--count", "2", port=port) == 2
    assert "m: all of 2 requests failed" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("judge", "why"), [(fails, "status 500"), (babbles, "understood"), (refuses, "understood")])
async def test_a_judge_that_gives_no_opinion_costs_no_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], judge: Model, why: str
) -> None:
    def model(body: Body) -> bytes:
        return judge(body) if body["model"] == "wildguard" else says("Sure.")

    async with model_server(model) as server:
        given = ("--study", "misuse", "--judge-model", "wildguard")
        assert await evaluate(tmp_path / "r", *given, port=server.port) == 2
    told = capsys.readouterr().err
    assert "the judge model gave no opinion, 5 times in a row" in told
    assert why in told
    assert len(lines(tmp_path / "r", "answer")) == 24


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "m"], "--base-url: give it once"),
        (["--base-url", "nonsense", "--model", "m"], "--base-url nonsense:"),
        (["--base-url", "http://x/v1", "--model", "m", "--study", "tone"], "there is no study 'tone'"),
        (["--base-url", "http://x/v1", "--model", "m", "--model", "m"], "name them apart"),
        (["--base-url", "http://x/v1", "--model", "m", "--fail-over", "hallucination"], "write it as STUDY=SHARE"),
        (["--base-url", "http://x/v1", "--model", "m", "--fail-over", "tone=0.1"], "a study that is measured"),
        (["--base-url", "http://x/v1", "--model", "m", "--count", "0"], "--count: must be 1 or more"),
        (["--base-url", "http://x/v1", "--model", "m", "--completions", "n"], "is not one of the models"),
        (["--base-url", "http://x/v1", "--model", "m", "--judge-model", "j", "--judge-share", "0"], "--judge-share"),
        (
            ["--base-url", "http://x/v1", "--model", "m", "--judge-model", "j", "--judge-dialect", "x"],
            "--judge-dialect",
        ),
        (["--prompts", "none.yaml", "--show-prompts"], "none.yaml: No such file"),
    ],
)
async def test_what_is_wrong_with_a_command_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert await evaluate(tmp_path / "r", *arguments) == 2
    assert said in capsys.readouterr().err


async def test_prompts_are_shown_without_asking_anybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await evaluate(tmp_path / "r", "--show-prompts", "--study", "misuse") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(shown) == 24
    assert {"item", "subcategory", "check", "asks", "wrong", "expected"} == shown[0].keys()
    assert not (tmp_path / "r").exists()


async def test_what_a_gateway_saw_stands_beside_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models' key, which may be a provider's, is not sent to the gateway."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-provider")
    monkeypatch.setenv("ASSAY_OPERATOR_KEY", "op-key")
    shown: list[bytes] = []
    rate = {"estimate": 0.02, "low": 0.01, "high": 0.04, "basis": "judge"}
    row = {"subcategory": "unsafe", "direction": "response", "effective_samples": 800.0, "rate": rate}
    rates = json.dumps({"rates": [row, {**row, "direction": "prompt"}]}).encode()

    async def script(peer: Peer) -> None:
        request = await peer.request()
        shown.extend(value for name, value in request.headers if name.lower() == b"authorization")
        await peer.send(answer(rates if b"/trust/v1/rates?window=7d&model=m" in request.target else b"?", JSON))

    async with model_server(knows_causes) as server, serve(script) as gateway:
        given = ("--study", "causal_reasoning", "--live", f"http://127.0.0.1:{gateway.port}")
        assert await evaluate(tmp_path / "r", *given, port=server.port) == 0
    assert shown == [b"Bearer op-key"]
    assert re.search(r"unsafe +m +2\.0% +1\.0% to 4\.0% +judge +800", capsys.readouterr().out)


async def test_a_gateway_that_does_not_answer_costs_only_its_own_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with model_server(knows_causes) as server:
        given = ("--study", "causal_reasoning", "--live", "http://127.0.0.1:9")
        assert await evaluate(tmp_path / "r", *given, port=server.port) == 0
    told = capsys.readouterr()
    assert "50.0%" in told.out
    assert "--live http://127.0.0.1:9" in told.err


async def test_what_was_found_is_exported_as_training_data(tmp_path: Path, capfdbinary: Any) -> None:
    def model(body: Body) -> bytes:
        return says("Yes.") if body["model"] == "a" else says("No.")

    record = tmp_path / "r"
    async with model_server(model) as server:
        given = ("--study", "causal_reasoning", "--model", "b")
        assert await evaluate(record, *given, port=server.port, model="a") == 0
    capfdbinary.readouterr()
    assert await asyncio.to_thread(main, ["export", "pairs", "--evaluation", str(record)]) == 0
    pairs = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert {(pair["chosen"].strip("."), pair["rejected"].strip(".")) for pair in pairs} == {
        ("Yes", "No"), ("No", "Yes")
    }  # fmt: skip
    assert len(pairs) == 48  # for each prompt the other model's answer, and the known right one
    assert await asyncio.to_thread(main, ["export", "--evaluation", str(record)]) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 48


@pytest.mark.parametrize("content", ["nonsense\n", ""])
def test_a_file_of_something_else_is_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "r"
    file.write_text(content)
    assert main(["export", "--evaluation", str(file)]) == (2 if content else 1)
    assert ("line 1: not a line of `assay evaluate`" in capsys.readouterr().err) == bool(content)


@pytest.mark.parametrize("name", ["owasp", "nist", "mlcommons", "llamaguard", "openai"])
def test_the_same_risks_are_shown_in_the_lists_of_others(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["taxonomy", "--map", name]) == 0
    table = capsys.readouterr().out
    assert main(["taxonomy", "--map", name, "--json"]) == 0
    for entry in json.loads(capsys.readouterr().out)["entries"]:
        (line,) = [line for line in table.splitlines() if line.strip().split("  ")[0] == entry["code"]]
        assert all(slug in line for slug in entry["subcategories"])
