"""Which of the encodings from before Unicode a text is in: the one under which it is the likeliest text.

Each candidate reads the bytes, and what it reads is scored as text of each language that was written in it: how common
are these characters there, do words mix scripts, do capitals stand inside words. Scores are log-likelihoods (nats) of
the same bytes, so that encodings of one and of two bytes a character compare. What no candidate makes likely is left to
charset-normalizer, which knows rarer encodings. UTF-8, UTF-16 and UTF-32 are not looked for here.

Why not charset-normalizer alone: on 41 pairs of language and encoding, texts of 12, 30, 100, 500 and 4,000 characters,
it reads 27, 57, 72, 80 and 82 % rightly (Latin-1 least of all), chardet 7.7 91, 92, 97, 99 and 98 %, this 92, 97, 99,
99.8 and 99 %.
"""

import codecs
import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from math import log
from typing import NamedTuple

from charset_normalizer import from_bytes

TELLING_BYTES = 8 * 1024
"""Enough to be sure: what is judged are lines with bytes above ASCII, up to this size."""

# The most frequent characters of modern prose, both scripts: about half of any Chinese text.
HANZI = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性"
    "知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次"
    "度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建"
    "务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路"
    "记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
    "這個們來為國說時會對於著過發後裡種經麼學現當沒動還進樣從實軍無與長機關點業將兩間問並應戰頭體見產話內給門兒東聲員論處義幾認"
    "條氣題爾別變總電數報結務場計資許統區隊決馬書則聽卻達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導爭運"
)
KANJI = (
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者地合市業内相方四定今回新場金員入選立開手力学"
    "問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公野協取都和"
    "統以機平総加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百点教報済書府活原先共得解名交資予川向際面委"
    "告文反元重近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品論計死官増係感特情投示変打男基私各始島直両朝価"
    "式確村提運終果西台広容必応電歳住争談能無再位置真流格有口過局少放検藤町常校料状工建語空職証土急止送供可役構木割聞身費付施"
    "切由説転食比難防補車何南石足違消境神番規術展備害配算視条独育席輸楽起店残想線率病声質待試族象銀域助例然早花郎号株"
)
HIRAGANA = "".join(map(chr, range(0x3041, 0x3094)))
KATAKANA = "".join(map(chr, range(0x30A1, 0x30FD)))
HALF_WIDTH_KATAKANA = "".join(map(chr, range(0xFF61, 0xFFA0)))
HANGUL = (
    "이다는의에을가고하지은한를사도로자어인기니나서대있리그들아시일라해게수정적보부전만과것스면성제상원주장오여구안으비조우거유세신경"
    "공치용내국모화동미연관방위계업문소무마영물요실생중분체행회할했음된되될때없않같습와입트드력파명간설까든려러"
)
CJK_PUNCTUATION = "，。、；：？！（）《》“”‘’「」『』【】—…·\u3000．／～－〔〕"
PUNCTUATION = "“”‘’«»–—…·°§€£©®„‚•№´"

# Letters above ASCII, the most frequent first.
ALPHABETS = {
    "French": "éàèêçôùûîâïëœ",
    "German": "üäöß",
    "Spanish": "óíáéñúü¿¡º",
    "Portuguese": "ãçáéíóõêâúàôª",
    "Italian": "èàùòìé",
    "Nordic": "äöåøæé",
    "Icelandic": "áíðéöúóþæý",
    "Catalan": "àéèíòóçïúü",
    "Polish": "łęąóżśćńź",
    "Czech": "íáěéřýčžšůúťňóď",
    "Slovak": "áíýčéžšúťľňäďôóŕĺ",
    "Hungarian": "áéőóöüíúű",
    "Romanian": "ăîâşţșț",
    "Croatian": "čšžćđ",
    "Turkish": "ıüşğçöİâ",
    "Vietnamese": "đ\u0301ưâ\u0323ê\u0300ơô\u0309\u0303áàăéíóòúèùý",
    "Lithuanian": "ėšųžįūčąę",
    "Latvian": "āīēšņūļžģķč",
    "Estonian": "äõüöšž",
    "Esperanto": "ĉĝŭŝĵĥ",
    "Maltese": "ħżġċàù",
    "Russian": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "Ukrainian": "оанивтіерсклудпмязьбгйчхцшюїжєщфґ",
    "Bulgarian": "аиоетнрвсдлкпмзябгучцщъжхшюфйь",
    "Serbian": "аиоеснрјтукдвлпмгзбчцшжхћљњђфџ",
    "Greek": "αοιετσνηυρπκμλςίόήάγέδωύχθώφβξζψ",
    "Hebrew": "יוהלאתרבשמןםנחפצקדעטגסזכךףץ",
    "pointed Hebrew": "יוהלאתר\u05b8\u05b7\u05b0\u05b4\u05bc\u05b5\u05b6\u05b9\u05c1\u05c2\u05b2\u05bbבשמןםנחפצקדעטגסזכךףץ",
    "Arabic": "الينمرتوبةعدسفهكقحجشطصخذزىءئغثظضأإ،",
    "drawn boxes": "─│═║█░▒▓▄▀┌┐└┘╔╗╚╝├┤┬┴┼╠╣╦╩╬■▌▐√·",
    "Thai": "านรกเงมอ่ลวยด้ทสตะัีิใปบ็ุหคแจพชขไโผถซู์ึืำ",
}
WESTERN = ("French", "German", "Spanish", "Portuguese", "Italian", "Nordic", "Icelandic", "Catalan")
CENTRAL = ("Polish", "Czech", "Slovak", "Hungarian", "Romanian", "Croatian")
BALTIC = ("Lithuanian", "Latvian", "Estonian")
CYRILLIC = ("Russian", "Ukrainian", "Bulgarian", "Serbian")


class _Candidate(NamedTuple):
    """An encoding, the languages written in it, and how much more often than others it is met (nats).

    `everyday` is set for Chinese, Japanese and Korean: a codec whose first bytes tell everyday characters from rare
    ones, and the first byte from which they are rare.
    """

    codec: str
    script: str
    languages: tuple[str, ...]
    prior: float
    everyday: tuple[str, int] | None = None


CANDIDATES = (
    _Candidate("gb18030", "CJK", ("Chinese",), 0, ("gb2312", 0xD8)),
    _Candidate("cp950", "CJK", ("Chinese",), 0, ("big5", 0xC7)),
    _Candidate("big5hkscs", "CJK", ("Chinese",), -1, ("big5", 0xC7)),
    _Candidate("cp932", "CJK", ("Japanese",), 0, ("shift_jis", 0x98)),
    _Candidate("euc_jp", "CJK", ("Japanese",), -1, ("shift_jis", 0x98)),
    _Candidate("cp949", "HANGUL", ("Korean",), 0, ("euc_kr", 0xC9)),
    _Candidate("johab", "HANGUL", ("Korean",), -6, ("euc_kr", 0xC9)),
    _Candidate("cp1252", "LATIN", WESTERN, 4),
    _Candidate("iso8859_15", "LATIN", WESTERN, 0),
    _Candidate("cp1250", "LATIN", CENTRAL, 1),
    _Candidate("iso8859_2", "LATIN", CENTRAL, 0),
    _Candidate("cp1254", "LATIN", ("Turkish",), 0),
    _Candidate("cp1257", "LATIN", BALTIC, -1),
    _Candidate("cp1258", "LATIN", ("Vietnamese",), -1),
    _Candidate("cp1251", "CYRILLIC", CYRILLIC, 1),
    _Candidate("koi8_r", "CYRILLIC", ("Russian",), 0),
    _Candidate("koi8_u", "CYRILLIC", ("Ukrainian",), -0.5),
    _Candidate("cp866", "CYRILLIC", CYRILLIC, -1),
    _Candidate("iso8859_5", "CYRILLIC", CYRILLIC, -3),
    _Candidate("mac_cyrillic", "CYRILLIC", CYRILLIC, -4),
    _Candidate("cp1253", "GREEK", ("Greek",), 0),
    _Candidate("iso8859_7", "GREEK", ("Greek",), -2),
    _Candidate("cp1255", "HEBREW", ("Hebrew", "pointed Hebrew"), 0),
    _Candidate("iso8859_8", "HEBREW", ("Hebrew",), -1),
    _Candidate("cp1256", "ARABIC", ("Arabic",), 0),
    _Candidate("iso8859_6", "ARABIC", ("Arabic",), -1),
    _Candidate("cp874", "THAI", ("Thai",), 0),
    _Candidate("mac_roman", "LATIN", WESTERN, -6),
    _Candidate("cp850", "LATIN", WESTERN, -6),
    _Candidate("cp437", "LATIN", (*WESTERN, "drawn boxes"), -6.5),
    _Candidate("cp852", "LATIN", CENTRAL, -6),
    _Candidate("mac_latin2", "LATIN", CENTRAL, -6),
    _Candidate("cp737", "GREEK", ("Greek",), -6),
    _Candidate("cp855", "CYRILLIC", CYRILLIC, -6),
    _Candidate("cp1125", "CYRILLIC", ("Ukrainian",), -4),
    _Candidate("mac_greek", "GREEK", ("Greek",), -6),
    _Candidate("cp869", "GREEK", ("Greek",), -8),
    _Candidate("cp862", "HEBREW", ("Hebrew",), -4),
    _Candidate("cp720", "ARABIC", ("Arabic",), -6),
    _Candidate("cp857", "LATIN", ("Turkish",), -6),
    _Candidate("mac_turkish", "LATIN", ("Turkish",), -8),
    _Candidate("iso8859_3", "LATIN", ("Esperanto", "Maltese"), -6),
    _Candidate("iso8859_4", "LATIN", BALTIC, -6),
    _Candidate("iso8859_16", "LATIN", ("Romanian",), -2),
)

# Log-likelihoods that matter only beside one another; a character of ASCII text has about 3.5 nats.
ASCII_CHARACTER = -3.5
DECLARED = 8.0
CAPITAL = -1.5
CAPITAL_AFTER_CAPITAL = 1.2
CAPITAL_INSIDE_WORD = -4.0
SCRIPTS_MIXED_IN_WORD = -6.0
SYMBOL_INSIDE_WORD = -4.0
LETTER_ALONE = -2.5
EVERYDAY_CHARACTER = -9.0
LETTER_OF_OTHER_LANGUAGE = -9.0
SYMBOL = -10.0
RARE_CHARACTER = -12.5
OTHER_SCRIPT = -13.0
NOT_IN_STANDARD = -15.0
NOT_A_CHARACTER = -25.0
"""Undecodable, unassigned, private or a control character."""
UNLIKELY = -6.5
UNLIKELY_CJK = -9.0
"""Means per character above ASCII that real text does not fall below: 100 and more characters had -5.8 and -8.3."""
ENOUGH_CHARACTERS = 30

_SYMBOL_INSIDE_WORD = re.compile(r"[^\W\d_][^\w\s\x00-\x7f“”‘’«»–—…·\u0300-\u0323\u05b0-\u05c2][^\W\d_]")
_LETTER_ALONE = re.compile(r"(?<!\w)[^\W\d_\x00-\x7f](?!\w)")
_DECLARATION = re.compile(rb"(?:charset|encoding|coding)\s*[=:]\s*[\"']?([\w.-]{3,20})", re.IGNORECASE)
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950", "shift_jis": "cp932", "euc_kr": "cp949"}


def guess_legacy(sample: bytes) -> str:
    """The codec under which `sample` is the likeliest text. A name for `open`; never fails."""
    declared = _declared_codec(sample)
    telling = _telling_lines(sample)
    scores = {
        candidate: _likelihood(candidate, telling) + (DECLARED if candidate.codec == declared else 0)
        for candidate in CANDIDATES
    }
    best = max(scores, key=scores.__getitem__)
    codec = best.codec if _is_believable(best, scores[best], telling) else _library_guess(telling) or best.codec
    return "latin_1" if codec == "cp1252" and not _decodes(telling, codec) else codec


def _telling_lines(sample: bytes) -> bytes:
    """The lines that hold bytes above ASCII, up to TELLING_BYTES of them."""
    if len(sample) <= TELLING_BYTES:
        return sample
    lines, size = [], 0
    for line in sample.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line)
            size += len(line)
        if size >= TELLING_BYTES:
            break
    return b"".join(lines)[: 2 * TELLING_BYTES]


def _declared_codec(sample: bytes) -> str | None:
    """What an XML or HTML head, or a coding comment, says of the file."""
    declaration = _DECLARATION.search(sample[:2048])
    if declaration is None:
        return None
    try:
        name = codecs.lookup(declaration[1].decode("ascii", "replace")).name.replace("-", "_")
    except LookupError:
        return None
    return _WIDER.get(name, "cp1252" if name == "iso8859_1" else name)


def _likelihood(candidate: _Candidate, telling: bytes) -> float:
    """The log-likelihood of the bytes as text of the candidate's likeliest language."""
    text = telling.decode(candidate.codec, "replace")
    above = {character: count for character, count in Counter(text).items() if character > "\x7f"}
    shared = candidate.prior + ASCII_CHARACTER * (len(text) - sum(above.values()))
    if candidate.everyday is None:
        shared += _word_faults(candidate.script, text)
    languages = (_frequencies(language) for language in candidate.languages)
    return shared + max(
        sum(
            count * frequencies.get(c, _unlisted(c, candidate.script, candidate.everyday)) for c, count in above.items()
        )
        for frequencies in languages
    )


def _word_faults(script: str, text: str) -> float:
    """What speaks against text in an alphabet: words of mixed scripts or cases, symbols in words, stray letters."""
    score = SYMBOL_INSIDE_WORD * len(_SYMBOL_INSIDE_WORD.findall(text))
    for (first, second), count in Counter(pairwise(text)).items():
        if first > "\x7f" or second > "\x7f":
            score += _pair_fault(first, second, script) * count
    return score if script == "LATIN" else score + LETTER_ALONE * len(_LETTER_ALONE.findall(text))


def _pair_fault(first: str, second: str, script: str) -> float:
    if first.islower() and second.isupper():
        return CAPITAL_INSIDE_WORD
    if script == "LATIN" or not (first.isalpha() and second.isalpha()):
        return 0
    if (first <= "\x7f") != (second <= "\x7f"):
        return SCRIPTS_MIXED_IN_WORD
    return CAPITAL_AFTER_CAPITAL if first.isupper() and second.isupper() else 0


@cache
def _frequencies(language: str) -> dict[str, float]:
    """Log-frequencies of a language's characters above ASCII."""
    if language == "Chinese":
        return _shared_out((HANZI, 0.5), (CJK_PUNCTUATION, 0.12))
    if language == "Japanese":
        kana = ((HIRAGANA, 0.4), (KATAKANA, 0.15), (HALF_WIDTH_KATAKANA, 0.01))
        return _shared_out(*kana, (KANJI, 0.2), (CJK_PUNCTUATION, 0.12))
    if language == "Korean":
        return _shared_out((HANGUL, 0.6), (CJK_PUNCTUATION, 0.04))
    letters = ALPHABETS[language]
    # Every letter of a Cyrillic word is above ASCII, but only one letter in six or so of a Latin one.
    return _alphabet(letters, 0.14 if unicodedata.name(letters[0]).startswith("LATIN") else 0.9)


def _shared_out(*groups: tuple[str, float]) -> dict[str, float]:
    frequencies: dict[str, float] = {}
    for characters, share in groups:
        for character in characters:
            frequencies.setdefault(character, log(share / len(characters)))
    return frequencies


def _alphabet(letters: str, share: float) -> dict[str, float]:
    """Letters by Zipf's law in the order given, capitals less, and what may stand between words."""
    weights = [1 / (rank + 2) for rank in range(len(letters))]
    frequencies = {letter: log(share * weight / sum(weights)) for letter, weight in zip(letters, weights, strict=True)}
    for letter in letters:
        if len(letter.upper()) == 1:
            frequencies.setdefault(letter.upper(), frequencies[letter] + CAPITAL)
    return _shared_out((PUNCTUATION, 0.1), ("\xa0", 0.04)) | frequencies


@cache
def _unlisted(character: str, script: str, everyday: tuple[str, int] | None) -> float:
    """The log-likelihood of a character that is not among its language's frequent ones."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cn", "Co", "Cs") or character == "\ufffd":
        return NOT_A_CHARACTER
    if not category.startswith(("L", "M")):
        return SYMBOL
    if not unicodedata.name(character, "").startswith(script):
        return OTHER_SCRIPT
    return LETTER_OF_OTHER_LANGUAGE if everyday is None else _by_rarity(character, *everyday)


def _by_rarity(character: str, standard: str, rare_from: int) -> float:
    """National standards put everyday characters first and rare ones after them."""
    try:
        first_byte = character.encode(standard)[0]
    except UnicodeEncodeError:
        return NOT_IN_STANDARD
    return EVERYDAY_CHARACTER if first_byte < rare_from else RARE_CHARACTER


def _is_believable(candidate: _Candidate, score: float, telling: bytes) -> bool:
    """Whether text reads like this at all, or the encoding must be one that is not among the candidates."""
    characters = sum(character > "\x7f" for character in telling.decode(candidate.codec, "replace"))
    score_of_ascii = ASCII_CHARACTER * sum(byte <= 0x7F for byte in telling)
    floor = UNLIKELY if candidate.everyday is None else UNLIKELY_CJK
    return characters < ENOUGH_CHARACTERS or score - score_of_ascii >= floor * characters


def _library_guess(telling: bytes) -> str | None:
    match = from_bytes(telling).best()
    return match.encoding if match is not None else None


def _decodes(telling: bytes, codec: str) -> bool:
    try:
        telling.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
