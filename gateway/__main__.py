"""The arguments of the command `assay`. Each subcommand is a file in `commands`, imported when it is run."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from detectors.manifest import ModelError
from detectors.mappings import MAPS
from gateway.commands.serve import FLAGS
from gateway.commands.worker import FLAGS as WORKER_FLAGS
from gateway.config.settings import Config, ConfigError
from policies.model import CHANNELS, DIRECTIONS
from policies.source import PolicyError

_BAD_USE = 2
_NOBODY_READS = 141  # what a shell reports of a program that SIGPIPE ended

_WINDOWS = ("24h", "7d")
_POLICY = "`observe`, `default`, `strict`, or the path of a policy file"

Command = Callable[[argparse.Namespace], int]
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 all is well, 1 something was found wrong, 2 it could not start."""
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        status = command(parsed)
        sys.stdout.flush()
        return status
    except (ConfigError, PolicyError, ModelError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"assay: {line}\n")
        return _BAD_USE
    except BrokenPipeError:  # the reader left, as `head` does. What is still buffered must not be written at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"assay: {where}{error.strerror or error}\n")
        return _BAD_USE
    except KeyboardInterrupt:
        return 130


def _command(module: str, function: str) -> Command:
    """A process that serves must not load model code, so only the file of the chosen command is imported."""

    def run(parsed: argparse.Namespace) -> int:
        command: Command = getattr(importlib.import_module(f"gateway.commands.{module}"), function)
        return command(parsed)

    return run


@cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="An OpenAI-compatible gateway that assays what passes.")
    parser.add_argument("--version", action="version", version=f"assay {version('assay-gateway')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_serving, _add_detecting, _add_labelling, _add_demos):
        add(commands)
    _add_policy(commands.add_parser("policy", help="try a policy out"))
    _add_evaluate(commands.add_parser("evaluate", help="measure models in the eight studies of the survey"))
    _add_fingerprint(commands.add_parser("fingerprint", help="make a file that finds verbatim copies of your works"))
    return parser


def _add_serving(commands: _Commands) -> None:
    serve = commands.add_parser("serve", help="serve the gateway")
    _add_config(serve)
    _add_settings(serve, FLAGS)
    serve.set_defaults(command=_command("serve", "serve"))

    worker = commands.add_parser("worker", help="judge the samples that gateways leave in Redis")
    _add_config(worker)
    _add_settings(worker, WORKER_FLAGS)
    worker.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="address of /metrics (127.0.0.1)")
    worker.add_argument("--metrics-port", type=int, default=9108, metavar="PORT", help="port of /metrics (9108)")
    worker.set_defaults(command=_command("worker", "worker"))

    check = commands.add_parser("check", help="say what is wrong with the configuration and the policy")
    _add_config(check)
    check.set_defaults(command=_command("check", "check"))

    table = commands.add_parser("settings", help="the table of settings, as Markdown")
    table.set_defaults(command=_command("settings", "settings"))


def _add_detecting(commands: _Commands) -> None:
    score = commands.add_parser(
        "score",
        help="judge JSON lines from standard input",
        description="Judge JSON lines from standard input. A line has `role` (prompt or response) and `text`; a "
        "response may have `context`, the prompt or source that it answers, or `turns`, the conversation before it, "
        "as a list of `channel` and `text`. Writes a line for each: scores, flags, and the detectors that gave them.",
    )
    score.add_argument("--only", metavar="SLUG,SLUG", help="only these sub-categories")
    score.add_argument("--batch", type=int, default=64, metavar="N", help="texts judged at once (64)")
    score.set_defaults(command=_command("score", "score"))

    taxonomy = commands.add_parser("taxonomy", help="the 29 sub-categories, their detectors and measured figures")
    taxonomy.add_argument("--json", action="store_true")
    taxonomy.add_argument("--map", choices=tuple(MAPS), help="the same risks in another list")
    taxonomy.set_defaults(command=_command("taxonomy", "taxonomy"))

    own = commands.add_parser("detectors", help="the cards of your own detectors: what is known of each")
    _add_config(own)
    own.set_defaults(command=_command("check", "detectors"))


def _add_labelling(commands: _Commands) -> None:
    review = commands.add_parser("review", help="label drawn samples, one key for each answer")
    _add_config(review)
    review.add_argument("--by", metavar="NAME", help="who labels (default: your name on this machine)")
    review.add_argument("--only", metavar="SLUG,SLUG", help="ask about these (default: unsafe, then its harms)")
    review.add_argument("--route", metavar="NAME", help="only samples of this route")
    review.add_argument("--model", metavar="NAME", help="only samples of this model")
    review.add_argument("--flagged", action="store_true", help="only samples in which something was flagged")
    review.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="label answers of this record of assay evaluate instead"
    )
    review.set_defaults(command=_command("review", "review"))

    calibrate = commands.add_parser("calibrate", help="how the detectors do on this traffic, and thresholds from it")
    _add_config(calibrate)
    calibrate.add_argument("--window", choices=_WINDOWS, default="7d", help="how far back labels count (7d)")
    calibrate.add_argument("--json", action="store_true")
    what = "measure your own detectors on these harmless texts: JSON lines with `text` and `role`, or a text a line"
    calibrate.add_argument("--texts", type=Path, metavar="FILE", help=what)
    calibrate.add_argument("--detector", action="append", metavar="NAME", help="with --texts: only this one of yours")
    which = calibrate.add_mutually_exclusive_group()
    which.add_argument("--adopt", action="store_true", help="let policies take their thresholds from this traffic")
    which.add_argument("--revert", action="store_true", help="go back to the detectors' own tables")
    calibrate.set_defaults(command=_command("calibrate", "calibrate"))

    export = commands.add_parser("export", help="labelled samples as training data, where texts are kept")
    _add_config(export)
    export.add_argument("--window", choices=_WINDOWS, default="7d", help="how far back samples count (7d)")
    kinds = ("rows", "pairs")
    export.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="what `assay evaluate` kept, in place of traffic"
    )
    export.add_argument("kind", nargs="?", choices=kinds, default="rows", help="rows for classifiers, or answer pairs")
    export.set_defaults(command=_command("export", "export"))


def _add_demos(commands: _Commands) -> None:
    show = commands.add_parser("demo", help="a gateway with a demo upstream and varied traffic, to look at")
    show.add_argument("--port", type=int, default=8080)
    show.add_argument("--rate", type=float, default=4.0, metavar="N", help="requests a second at most (default 4)")
    show.add_argument("--seconds", type=float, default=float("inf"), metavar="N", help="stop after this time")
    show.set_defaults(command=_command("demo", "demo"))

    demo = commands.add_parser("demo-upstream", help="a model server that replays conversations")
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    demo.add_argument("--port", type=int, default=8081, help="port to listen on (default 8081)")
    demo.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    demo.add_argument("--socket", type=int, metavar="FD", help="an open socket to listen on instead")
    demo.set_defaults(command=_command("demo_upstream", "demo_upstream"))


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", help="the configuration file (default: assay.yaml if it exists)")


def _add_settings(command: argparse.ArgumentParser, names: Sequence[str]) -> None:
    for name in names:
        description = (Config.model_fields[name].description or "").replace("%", "%%")
        command.add_argument("--" + name.replace("_", "-"), dest=name, metavar="VALUE", help=description)


def _add_policy(policy: argparse.ArgumentParser) -> None:
    actions = policy.add_subparsers(required=True, metavar="ACTION")
    _add_policy_trials(actions)
    _add_policy_measures(actions)
    schema = actions.add_parser("schema", help="print the JSON Schema of policy files, for editors")
    schema.set_defaults(command=_command("policy", "policy_schema"))


def _add_policy_trials(actions: _Commands) -> None:
    test = actions.add_parser("test", help="run the cases beside a policy (NAME.cases.yaml beside NAME.yaml)")
    test.add_argument("file", metavar="FILE", help=_POLICY)
    _add_config(test)
    test.set_defaults(command=_command("policy", "policy_test"))

    explain = actions.add_parser("explain", help="judge the text on standard input and show what each rule makes of it")
    explain.add_argument("file", metavar="FILE", help=_POLICY)
    explain.add_argument("--role", choices=DIRECTIONS, default="prompt", help="which side wrote the text (prompt)")
    explain.add_argument("--channel", choices=CHANNELS, help="where it stood (user in a prompt, else assistant)")
    explain.add_argument("--context", type=Path, metavar="FILE", help="the prompt or the source that the text answers")
    explain.add_argument("--route", default="default", metavar="NAME", help="the route it took (default)")
    explain.add_argument("--model", default="", metavar="NAME", help="the model that was asked for")
    explain.add_argument("--caller", default="", metavar="NAME", help="the name of the caller's key")
    explain.add_argument("--draw", type=float, default=0.0, metavar="N", help="0 to 1: which canaries act (0: all)")
    explain.add_argument("--operating", type=Path, metavar="FILE", help="tables that `assay calibrate --adopt` made")
    _add_config(explain)
    explain.set_defaults(command=_command("policy", "policy_explain"))


def _add_policy_measures(actions: _Commands) -> None:
    simulate = actions.add_parser("simulate", help="decide recorded traffic again and show what would change")
    simulate.add_argument("--traffic", type=Path, required=True, metavar="FILE", help="an audit file (audit_path)")
    simulate.add_argument("--policy", required=True, metavar="FILE", help=_POLICY)
    _add_config(simulate)
    simulate.set_defaults(command=_command("policy", "policy_simulate"))

    cost = actions.add_parser("cost", help="measure false alarms and catches on labelled texts")
    cost.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder of SET.jsonl[.gz] files")
    cost.add_argument("--policy", action="append", metavar="FILE", help=f"{_POLICY}; all three when left out")
    cost.add_argument("--most", type=int, default=500, metavar="N", help="most texts of each set and kind (500)")
    cost.add_argument("sets", nargs="*", metavar="SET", help="sets of the folder (all of them)")
    _add_config(cost)
    cost.set_defaults(command=_command("policy", "policy_cost"))

    alarms = actions.add_parser("false-alarms", help="count what harmless texts set off, by head, length and rule")
    alarms.add_argument("file", type=Path, metavar="TEXTS", help="JSON lines: `text`, and `role`, `channel`, `kind`")
    alarms.add_argument(
        "--policy", action="append", metavar="FILE", help=f"{_POLICY}; default and strict when left out"
    )
    _add_config(alarms)
    alarms.set_defaults(command=_command("false_alarms", "policy_false_alarms"))


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    add = evaluate.add_argument
    add("--base-url", action="append", default=[], metavar="URL", help="the API with its /v1: once, or for each model")
    add("--model", action="append", default=[], metavar="[LABEL=]NAME", help="a model to measure; may be repeated")
    add("--study", action="append", metavar="NAME", help="only this study; may be repeated (all)")
    add("--prompts", action="append", type=Path, default=[], metavar="FILE", help="a YAML file with your own prompts")
    add("--count", type=int, default=300, metavar="N", help="prompts for each study (300)")
    add("--seed", type=int, default=0, metavar="N", help="seed from which the prompts are made (0)")
    add("--show-prompts", action="store_true", help="print the prompts as JSON lines and ask nobody")
    add("--record", type=Path, default=Path("evaluation.jsonl"), metavar="FILE", help="keeps every answer and "
        "judgement; a run that was stopped goes on from it (evaluation.jsonl)")  # fmt: skip
    add("--key-env", default="OPENAI_API_KEY", metavar="NAME", help="environment variable with the key to send "
        "(OPENAI_API_KEY)")  # fmt: skip
    add("--completions", action="append", default=[], metavar="MODEL", help="ask this model by /completions, as a base "
        "model without a chat template needs it")  # fmt: skip
    add("--system", action="append", default=[], metavar="[LABEL=]TEXT", help="a system prompt, for all or one model")
    add("--temperature", type=float, default=0.0, metavar="N", help="sampling temperature (0)")
    add("--concurrency", type=_positive, default=4, metavar="N", help="requests at a time (4)")
    add("--retries", type=int, default=2, metavar="N", help="further tries after a failed one (2)")
    add("--timeout-seconds", type=float, default=120.0, metavar="N", help="longest wait for an answer (120)")
    add("--judge-model", metavar="NAME", help="a judge model for second opinions on what the detectors judge")
    add("--judge-base-url", metavar="URL", help="where the judge model is (the first --base-url)")
    add("--judge-dialect", metavar="NAME", help="how the judge model is asked (default: by its name)")
    add("--judge-share", type=float, default=1.0, metavar="N", help="share of the answers that it is shown (1)")
    add("--live", metavar="URL", help="a gateway: show beside the figures what it saw of these models in traffic; its "
        "operator's key, if it has one, comes from ASSAY_OPERATOR_KEY")  # fmt: skip
    add("--fail-over", action="append", default=[], metavar="STUDY=SHARE", help="exit with 1 if the figure is higher")
    add("--format", choices=("text", "markdown", "json"), default="text", help="format of the report (text)")
    add("--picture", type=Path, metavar="FILE", help="write the figures as an SVG picture too")
    evaluate.set_defaults(command=_command("evaluate", "evaluate"))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def _add_fingerprint(fingerprint: argparse.ArgumentParser) -> None:
    actions = fingerprint.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="read a corpus and write its fingerprints; the texts are not kept")
    build.add_argument(
        "corpus", type=Path, metavar="CORPUS", help="a folder of .txt and .md files, or JSON lines with a field `text`"
    )
    build.add_argument("file", type=Path, metavar="FILE", help="the file to write, for the setting `fingerprints`")
    build.set_defaults(command=_command("fingerprint", "build_file"))

    check = actions.add_parser("check", help="say what a fingerprint file holds, or what is wrong with it")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_command("fingerprint", "check"))


if __name__ == "__main__":
    sys.exit(main())
