"""Letters that look like Latin ones, and the Latin letter that each stands for. Tables only.

They follow the prototypes of Unicode Technical Standard 39 for the alphabets that occur in disguised words. What NFKC
already undoes (full-width, mathematical, circled letters) is not repeated here.
"""

_CYRILLIC = (
    "аa еe оo рp сc уy хx іi јj ѕs һh ԁd ԛq ԝw ѵv кk мm тt вb нh гr пn ьb зз3 ғf үy ӏl гr ёe йи іi їi "
    "АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS ҮY ҒF ԌG ԚQ ԜW ѴV ӀI ЁE ЇI ЬB"
)
_GREEK = "αa οo νv ρp ιi κk υu τt ϲc ϳj γy ηn χx ωw εe σo μu βb ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC ϺM"
_OTHERS = (
    "օo սu հh ոn զq ցg յj լl ՏS ՍU ՕO ɑa ɡg ıi ɩi ʋu ƽs ᎪA ᎬE ᎢT ᎳW ᎻH ᎷM ᏢP ᏚS ᏀG ᎫJ ᏦK ᏞL ᏟC ᏙV ᏃZ ᎡR "
    "ꓐB ꓑP ꓓD ꓔT ꓖG ꓗK ꓙJ ꓚC ꓜZ ꓝF ꓠN ꓡL ꓢS ꓣR ꓦV ꓧH ꓪW ꓫX ꓬY ꓮA ꓰE ꓲI ꓳO ꓴU"
)
# Small capitals and turned or negative letters that NFKC leaves alone.
_STYLED = "ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ǫq ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz"


def _pairs(listed: str) -> dict[str, str]:
    return {pair[0]: pair[1] for pair in listed.split() if len(pair) == 2}


# Letters that look like this Latin letter in a word with Latin letters.
CONFUSABLES = {**_pairs(_CYRILLIC), **_pairs(_GREEK), **_pairs(_OTHERS)}
# Letters that cannot be told from the Latin one: a word of only these may be a Latin word in disguise.
IDENTICAL = frozenset("аеорсухіјѕһԁԛԝѵӏАВЕКМНОРСТХІЈЅ" + "ονΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օսոցհ")
# Negative circled and squared capitals, four alphabets in a row, and the styled letters.
STYLED = _pairs(_STYLED) | {
    chr(first + index): chr(ord("A") + index) for first in (0x1F150, 0x1F170) for index in range(26)
}
LOOKALIKE_RANGES = "\u0370-\u052f\u0531-\u058f\u13a0-\u13ff\ua4d0-\ua4ff\u0251\u0261\u0131\u0269\u028b\u01bd"
