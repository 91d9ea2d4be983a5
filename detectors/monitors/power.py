"""How much each monitor finds, as measured (tables in docs/monitors.md)."""

from collections.abc import Mapping

POWER: Mapping[str, str] = {
    "miscalibration": (
        "Expected calibration error of stated confidence. On the answers of 11 models (confidence_llms) .05 to .23, "
        "as computed directly; simulated intervals hold the truth in 92 to 98 %. An error of .15 is found in 30 % of "
        "days with 100 answers, in 91 % with 300, in 77 % with 300 second opinions."
    ),
    "disparate_performance": (
        "Gaps between languages and callers within route and model. Ten points more refusals are found in 47 % of "
        "days with 110 answers of the cohort, in 97 % with 370; without a gap some cohort is named in 4 %. 1.5 times "
        "the wait is found in 97 % with 110 answers, ten points more faults by a judge in 83 % with 110 opinions."
    ),
    "preference_bias": (
        "Differences between prompts that name one side of nine topics or the other; a start for probes. The topics "
        "are examples, and prompts about two sides differ by more than the side."
    ),
    "cultural_insensitivity": (
        "Refusals and tone of answers about one culture against those about the others, 55 of a closed list, by what "
        "prompts name in English. Among 40 cultures ten points more refusals are found in 16 % of days with 110 "
        "answers about the culture, in 91 % with 370; five points more toxicity in 93 and 100 %; without a gap some "
        "culture is named in 1 %."
    ),
    "distribution_shift": (
        "Words of the prompts against a reference: CLINC's out-of-scope questions are found in 27 % of looks at a "
        "share of 20 % of 600 prompts, always at 50 %; ten new intents always at 20 %; without either in 2 %. Another "
        "style of the same sentences is found only where it has words of its own. Beside it histograms of language, "
        "length, refusal and scores."
    ),
    "interventional_effect": (
        "Steps at changes. A step of 5, 10 and 20 points with 30 samples an hour is found in 53, 99 and 100 % of "
        "cases, against another route in 28, 75 and 100 %; intervals hold the truth in 94 to 99 %, also where a "
        "change brings more or less traffic or moves it to other hours."
    ),
    "poisoning_attacks": (
        "Rare words and openings that come with refusals, flags or one answer. Of 2,000 prompts a trigger in 12 is "
        "always found, in 6 in 18 % of cases; no other word was named. A trigger that is a form of sentences "
        "(HiddenKiller) is found in 30 % of cases by 25 prompts, always by 50, never by 12. Passages that give "
        "orders, and such that repeat the question word for word, are counted: 97 % of PoisonedRAG's as the attack "
        "sends them, 1 % without the question in front, and 1 % of harmless passages."
    ),
}
