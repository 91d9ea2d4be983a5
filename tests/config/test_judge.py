"""The settings of the judge model."""

from typing import get_args

import pytest

from gateway.config.fields import JudgeDialect
from gateway.config.load import load
from gateway.config.routes import judge_upstream, upstreams
from gateway.config.settings import Config, ConfigError
from gateway.judging.dialects import DIALECTS

UPSTREAMS = "{main: {url: https://a.example/v1, key: sk-main, model: renamed}, guards: {url: https://b.example/v1}}"


def config(judge: str, **more: str) -> Config:
    return load(environ={"ASSAY_UPSTREAMS": UPSTREAMS, "ASSAY_JUDGE": judge, **more})


def test_there_is_none_until_it_is_set() -> None:
    assert load(environ={}).judge is None


def test_every_dialect_of_the_table_can_be_named() -> None:
    assert set(get_args(JudgeDialect)) == DIALECTS.keys()


def test_it_is_an_upstream_under_its_own_models_name() -> None:
    found = config("{upstream: main, model: guard-1}")
    assert found.judge is not None
    upstream = judge_upstream(found.judge, upstreams(found))
    assert (upstream.host, upstream.key, upstream.model) == ("a.example", "sk-main", None)


def test_or_a_place_of_its_own() -> None:
    found = config("{url: https://judge.example/v1, key: sk-judge, model: guard-1}")
    assert found.judge is not None
    upstream = judge_upstream(found.judge, upstreams(found))
    assert (upstream.host, upstream.key) == ("judge.example", "sk-judge")


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("{model: guard-1}", "texts leave only to the place that is named here"),
        ("{upstream: main, url: https://j.example/v1, model: g}", "needs either `upstream` or `url`"),
        ("{upstream: main, key: sk-1, model: g}", "`key` goes with `url`"),
        ("{upstream: gards, model: g}", "did you mean `guards`?"),
        ("{url: ftp://j.example, model: g}", "is not an http(s) URL"),
        ("{upstream: main, model: g, dialect: llamaguard}", "llama_guard"),
        ("{upstream: main, model: g, cals_per_hour: 3}", "did you mean `calls_per_hour`?"),
        ("{upstream: main, model: g, calls_per_hour: 0}", "calls_per_hour"),
        ("{upstream: main, model: g, subcategories: [violense]}", "did you mean `violence`?"),
        ("{upstream: main, model: g, questions: {zzz: Is it.}}", "there is no sub-category 'zzz'"),
        ("{upstream: main", "is neither JSON nor YAML"),
    ],
)
def test_what_is_wrong_is_said(judge: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config(judge)
    assert said in str(raised.value)


def test_kept_texts_need_an_operators_key() -> None:
    with pytest.raises(ConfigError) as raised:
        config("{upstream: main, model: g}", ASSAY_REVIEW_TEXT="true", ASSAY_KEYS="sk-12345678")
    assert "/trust/v1/review" in str(raised.value)
