"""Which culture a prompt is about: a country or its people, a people without one, a faith.

The list is closed and our own. Some neighbouring countries share an entry, because each alone is seldom asked about. A
prompt that names two cultures counts for neither: it compares them, or is about a person of one in the other.
"""

import re
from collections.abc import Iterator, Mapping

# The measures by which answers about cultures are compared. Length is none of them: it depends on the question.
MEASURES = ("refusal", "toxicity", "hate", "tone", "cultural_insensitivity")
_READ_CHARACTERS = 20_000
_WORD = re.compile(r"[^\W\d_]+")

# Culture → the words that name it, in small letters. A name has two words where one alone means something else.
CULTURES: Mapping[str, tuple[str, ...]] = {
    name: tuple(words.split("|"))
    for name, words in {
        "african american": "african american|african americans|black americans",
        "american": "american|americans|united states|usa",
        "arab": "arab|arabs|arabic|saudi|saudis|saudi arabia|"
        "emirati|emiratis|emirates|qatar|qatari|kuwait|kuwaiti|bahrain",
        "argentine": "argentina|argentine|argentinian|argentinians",
        "australian": "australia|australian|australians|aussie|aussies",
        "aboriginal australian": "aboriginal|aboriginals|aborigines|torres strait",
        "bangladeshi": "bangladesh|bangladeshi|bangladeshis|bengali|bengalis",
        "brazilian": "brazil|brazilian|brazilians",
        "british": "british|britain|briton|britons|england|english people|scottish|scotland|welsh people|wales",
        "buddhist": "buddhism|buddhist|buddhists",
        "canadian": "canada|canadian|canadians",
        "caribbean": "caribbean|jamaica|jamaican|jamaicans|haiti|haitian|haitians|"
        "cuba|cuban|cubans|puerto rican|dominican",
        "chinese": "china|chinese|taiwan|taiwanese|hong kong",
        "christian": "christian|christians|christianity|catholic|catholics|protestant|protestants|evangelical",
        "dutch": "netherlands|dutch|belgium|belgian|belgians",
        "egyptian": "egypt|egyptian|egyptians",
        "ethiopian": "ethiopia|ethiopian|ethiopians|eritrea|eritrean|eritreans|somalia|somali|somalis",
        "filipino": "philippines|filipino|filipinos|filipina",
        "french": "france|french people|frenchman|french culture|french customs|french food|french wedding",
        "german": "germany|german|germans|austria|austrian|austrians",
        "greek": "greece|greek|greeks",
        "hindu": "hindu|hindus|hinduism",
        "indian": "india|indian|indians|punjabi|tamil|tamils",
        "indonesian": "indonesia|indonesian|indonesians|malaysia|malaysian|malaysians|javanese|balinese",
        "inuit": "inuit|eskimo|eskimos|sami|sámi|greenlander|greenlanders",
        "iranian": "iran|iranian|iranians|persian|persians|afghan|afghans|afghanistan",
        "iraqi": "iraq|iraqi|iraqis|syria|syrian|syrians|lebanon|lebanese|jordanian|jordanians|kurdish|kurds",
        "irish": "ireland|irish",
        "israeli": "israel|israeli|israelis",
        "italian": "italy|italian|italians",
        "japanese": "japan|japanese|kyoto|tokyo",
        "jewish": "jewish|jew|jews|judaism",
        "kenyan": "kenya|kenyan|kenyans|tanzania|tanzanian|tanzanians|uganda|ugandan|ugandans|maasai",
        "korean": "korea|korean|koreans",
        "latin american": "latin american|latin americans|latino|latinos|latina|latinas|hispanic|hispanics|colombia|"
        "colombian|colombians|peru|peruvian|peruvians|chile|chilean|chileans|venezuela|venezuelan|venezuelans",
        "maori": "maori|māori|polynesian|polynesians|samoan|samoans|new zealand|new zealander",
        "mexican": "mexico|mexican|mexicans",
        "moroccan": "morocco|moroccan|moroccans|algeria|algerian|algerians|tunisia|tunisian|tunisians|berber|berbers",
        "muslim": "muslim|muslims|islam|islamic",
        "native american": "native american|native americans|american indian|american indians|navajo|"
        "cherokee|lakota|first nations",
        "nigerian": "nigeria|nigerian|nigerians|yoruba|igbo|hausa|ghana|ghanaian|ghanaians|senegal|senegalese",
        "nordic": "sweden|swedish|swedes|norway|norwegian|norwegians|denmark|danish|danes|"
        "finland|finnish|finns|iceland|icelandic",
        "pakistani": "pakistan|pakistani|pakistanis|pashtun|pashtuns",
        "palestinian": "palestine|palestinian|palestinians",
        "polish": "poland|polish|czech|czechs|slovak|slovaks|hungary|hungarian|hungarians|romania|romanian|romanians",
        "portuguese": "portugal|portuguese",
        "roma": "roma|romani|gypsy|gypsies|sinti",
        "russian": "russia|russian|russians",
        "sikh": "sikh|sikhs|sikhism",
        "south african": "south africa|south african|south africans|zulu|zulus|xhosa|zimbabwe|zimbabwean|zimbabweans",
        "spanish": "spain|spaniard|spaniards|spanish people|spanish culture|spanish customs|catalan|catalans",
        "thai": "thailand|thai|thais|laos|cambodia|cambodian|cambodians|burmese|myanmar",
        "turkish": "turkey|turkish|turks|turk",
        "ukrainian": "ukraine|ukrainian|ukrainians",
        "vietnamese": "vietnam|vietnamese|hmong",
    }.items()
}  # fmt: skip
# These name a culture only with a capital letter: in small letters they name things.
_ALSO_THINGS = frozenset({"china", "turkey", "polish", "roma", "wales", "jordanian", "chile", "turk"})
# In front of these, Polish is what an editor does.
_POLISHED = frozenset(
    {"a", "an", "and", "it", "my", "our", "the", "their", "these", "this", "those", "up", "your", "following"}
)
_NAMES = {word: culture for culture, words in CULTURES.items() for word in words}
_TONGUE = (
    r"(?:arabic|bengali|brazilian|chinese|czech|danish|dutch|egyptian|finnish|french|german|greek|hungarian|icelandic|"
    r"indonesian|irish|italian|japanese|kenyan|korean|moroccan|norwegian|nigerian|pakistani|persian|polish|portuguese|"
    r"punjabi|romanian|russian|somali|spanish|swedish|tamil|thai|turkish|ukrainian|vietnamese|yoruba|zulu)\b"
)
# Where the name is that of a language: in front of one, with no noun behind it, and behind one.
_LANGUAGE = re.compile(
    rf"\b(?:in|into|to|from|use|using|speaks?|speaking|spoken|learn|learning|know|understand)\s+{_TONGUE}"
    r"(?!\s+(?!(?:and|or|to|for|into|from|with|within|please|but|so|as|that|this|if|is|only|the|a|an)\b)\w)|"
    rf"\b{_TONGUE}\s+(?:language|speakers?\b|translat|words?\b|grammar|phrases?\b|sentences?\b|subtitles?\b)",
    re.IGNORECASE,
)
_LONGER = frozenset(word.split()[0] for word in _NAMES if " " in word)


def culture_of(prompt: str) -> str:
    """The culture that the beginning of a prompt names; empty if it names none, several, or a language: what stands in
    another language is judged otherwise, whatever it says."""
    named = cultures_of(prompt)
    is_one = len(named) == 1 and not _LANGUAGE.search(prompt[:_READ_CHARACTERS])
    return next(iter(named)) if is_one else ""


def cultures_of(text: str) -> frozenset[str]:
    """All cultures that the beginning of a text names."""
    return frozenset(_named([found[0] for found in _WORD.finditer(text[:_READ_CHARACTERS])]))


def _named(words: list[str]) -> Iterator[str]:
    taken = -1
    for at, word in enumerate(words):
        if at <= taken:
            continue
        said = word.lower()
        culture = _NAMES.get(said, "")
        if at + 1 < len(words) and said in _LONGER:
            longer = _NAMES.get(f"{said} {words[at + 1].lower()}")
            if longer:
                culture, taken = longer, at + 1
        if culture and not (said in _ALSO_THINGS and _is_thing(words, at)):
            yield culture


def _is_thing(words: list[str], at: int) -> bool:
    follows = words[at + 1].lower() if at + 1 < len(words) else ""
    return words[at].islower() or (words[at].lower() == "polish" and follows in _POLISHED)
