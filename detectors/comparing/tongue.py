"""Whether a text is in English, the only language of the pair model. If it cannot tell, it says yes."""

from detectors.comparing.sentences import listed, words_of
from detectors.trained.scripts import readable_part

_LOOKED_AT = 3_000  # characters
_FEWEST = 4  # words of another language that are needed to be sure
_ENGLISH = listed("""
    the of and to in is that it for you with on are this be was have not what how can my your by from at as or
    which were has had but they his her their its will would there been
    """)
# Function words of other languages in Latin letters that are not English words.
_OTHERS = (
    listed("""
    der das und ist nicht ich zu ein eine den mit sie auf für wie dem von auch wird sind oder bei nach aus
    einer eines le les et est un une que pour dans des je vous pas ce il sur avec qui du sont au aux ses été
    cette par plus el los las de y una con para se del su como por más fue al lo sus entre cuando muy sin di
    che e la per non sono della nel gli alla anche più dei delle una è si da dal o do em um uma com não os dos
    das na ao pela mais foi também het een van dat niet ook zijn voor aan bij naar wordt och att det som är på
    av för till den har inte med om nie się jest na że jak co dla po przez oraz bir bu için ile çok olarak
    daha yang dan ini itu dengan untuk tidak adalah pada dari og ikke til fra ei kun sekä ja oli että
    """)
    - _ENGLISH
)


def is_english(text: str) -> bool:
    """False for a text in other letters than Latin ones, and for one with mostly another language's small words."""
    if readable_part(text[:_LOOKED_AT]) is not None:
        return False
    words = [word.lower() for word in words_of(text[:_LOOKED_AT])]
    others = sum(word in _OTHERS for word in words)
    return others < _FEWEST or others <= sum(word in _ENGLISH for word in words)
