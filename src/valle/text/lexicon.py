"""Tables of English spelling: abbreviations, acronyms, signs and letters of other alphabets."""

# fmt: off

# Read in full before a name or a number; their period never ends a sentence.
TITLES = {
    "mr": "Mister", "mrs": "Misses", "ms": "Miz", "dr": "Doctor", "prof": "Professor",
    "gen": "General", "col": "Colonel", "capt": "Captain", "cpt": "Captain", "maj": "Major",
    "lt": "Lieutenant", "sgt": "Sergeant", "rev": "Reverend", "hon": "Honorable",
    "gov": "Governor", "sen": "Senator", "rep": "Representative", "pres": "President",
    "messrs": "Messers", "mme": "Madame", "mlle": "Mademoiselle", "supt": "Superintendent",
    "fr": "Father", "st": "Saint", "mt": "Mount", "ft": "Fort", "vs": "versus", "cf": "compare",
    "eg": "for example", "ie": "that is", "viz": "namely", "approx": "approximately",
}

# Read in full where a period follows; a capital after it may begin a new sentence.
ABBREVIATIONS = {
    "jr": "Junior", "sr": "Senior", "esq": "Esquire", "inc": "Incorporated", "ltd": "Limited",
    "co": "Company", "corp": "Corporation", "bros": "Brothers", "etc": "et cetera",
    "ave": "Avenue", "blvd": "Boulevard", "rd": "Road", "hwy": "Highway", "apt": "apartment",
    "dept": "department", "univ": "university", "assn": "association", "govt": "government",
    "est": "established", "misc": "miscellaneous", "vol": "volume", "min": "minutes", "al": "al",
    "ibid": "ibid", "tel": "telephone", "ext": "extension", "sec": "seconds", "jan": "January",
    "feb": "February", "mar": "March", "apr": "April", "jun": "June", "jul": "July",
    "aug": "August", "sep": "September", "sept": "September", "oct": "October", "nov": "November",
    "dec": "December", "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday",
    "thu": "Thursday", "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "cent": "cent",
    "lbs": "pounds", "oz": "ounces",
}

# These are also ordinary words ("no", "art"), so they count only before a number.
BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "fig": "figure",
    "figs": "figures", "ch": "chapter", "art": "article", "eq": "equation", "ed": "edition",
    "vol": "volume", "sec": "section", "pt": "part", "ca": "circa", "c": "circa",
}

# Abbreviations that may stand without a period.
WITHOUT_PERIOD = {
    "mr": "Mister", "mrs": "Misses", "ms": "Miz", "dr": "Doctor", "vs": "versus",
    "etc": "et cetera", "messrs": "Messers",
}

# Written with a period after every letter; the keys are without the periods.
DOTTED = {
    "eg": "for example", "ie": "that is", "phd": "P H D", "md": "M D", "aka": "A K A",
    "am": "A M", "pm": "P M", "bc": "B C", "ad": "A D", "no": "number",
}

# Capitals without a vowel, or of at most three letters, are spelled out, and so are these.
SPELLED_OUT = frozenset(
    "ACLU USSR UCLA USDA NAACP IEEE ASAP LGBTQ USAF AFAIK OECD IAEA YMCA".split()
)

# Words of at most three letters that are not spelled out in capitals.
SHORT_WORDS = frozenset(
    "RAM ROM LAN WAN PIN SIM GIF ZIP VAT AND THE FOR ARE BUT NOT YOU ALL ANY CAN HAD HER WAS ONE "
    "OUR OUT DAY GET HAS HIM HIS HOW MAN NEW NOW OLD SEE TWO WAY WHO BOY DID ITS LET PUT SAY SHE "
    "TOO USE DAD MOM YES END WHY TRY ASK MEN RUN BAD BIG FEW FAR OFF OWN RED SET SIR SIX TEN TOP "
    "WAR OH OF TO IN IS ON AT AS BY BE HE WE MY OR IF DO GO NO SO UP AN AM ME HI AH HA MAY FUN "
    "GOD DON BOB TOM JIM SAM BEN DAN MAX JOE KEN RON SUE AMY KIM EVA IDA LEE BOX CAR DOG CAT EAT "
    "SUN TEA TOY WIN WON YET ADD AGE AGO AIR ART BED BUY CUT EYE FLY GUN HIT HOT ICE JOB KEY LAW "
    "LAY LOW MAP MIX OIL PAY RAN SAD SEA SIT SKY TAX TIE VAN WET BUS".split()
)

# Interjections, in IPA, that espeak would spell out.
INTERJECTIONS = {
    "hm": "həm", "hmm": "həm", "mm": "m", "mmm": "m", "mhm": "əmhˈʌm", "sh": "ʃ", "shh": "ʃ",
    "ssh": "ʃ", "psst": "pst", "pst": "pst", "brr": "bɜː", "brrr": "bɜː", "grr": "ɡɜː",
    "grrr": "ɡɜː", "tsk": "tɪsk", "pfft": "fət", "zzz": "z", "nth": "ˈɛnθ", "hmmm": "həm",
}

# Words that begin so many sentences that a sentence is taken to end before them, after "U.S." or
# "etc.".
SENTENCE_STARTERS = frozenset(
    "The A An He She It They We I You This That These Those There Here In On At By For From With "
    "But And So Or If When While As After Before Then Now My His Her Their Our Your Its What Who "
    "How Why Where One Some Many Most All No Not Yet However".split()
)

# Signs with a spoken form.
SIGNS = {
    "&": "and", "+": "plus", "=": "equals", "@": "at", "%": "percent", "§": "section",
    "©": "copyright", "×": "times", "÷": "divided by", "±": "plus or minus", "<": "less than",
    ">": "greater than", "≤": "less than or equal to", "≥": "greater than or equal to",
    "≈": "about", "≠": "is not equal to", "∞": "infinity", "√": "square root of", "°": "degrees",
    "→": "to", "¶": "paragraph", "²": "squared", "³": "cubed", "№": "number", "/": "slash",
    "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₿": "bitcoin", "₹": "rupee",
    "₩": "won", "₽": "ruble", "¢": "cents", "−": "minus", "∑": "sum", "π": "pi",
}

# Signs with a spoken form inside web and mail addresses only.
ADDRESS_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon",
    "?": "question mark", "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus",
    "~": "tilde",
}

# Signs between words that have no spoken form and are passed over.
SILENT_SIGNS = frozenset("\"'“”‘’„‚‹›«»`´ʼ*_~|\\^®™•·†‡¿¡#")

# Latin letters that English readers, and espeak's English, do not know.
TRANSLITERATIONS = {
    "ł": "l", "đ": "d", "ð": "th", "þ": "th", "ı": "i", "ħ": "h", "ŋ": "ng", "ə": "a", "ß": "ss",
    "č": "ch", "ć": "ch", "š": "sh", "ś": "sh", "ş": "sh", "ș": "sh", "ž": "zh", "ź": "z",
    "æ": "ae", "œ": "oe", "ø": "o", "ř": "r", "ğ": "gh", "ă": "a", "ơ": "o", "ư": "u",
}

# Common names of scripts where the name in Unicode is another one.
SCRIPT_NAMES = {
    "CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean",
}

# A Roman numeral after one of these is a cardinal; after another name it is "the Eighth".
NUMBERED_NOUNS = frozenset(
    "Chapter Part Volume Book Act Scene War Section Phase Type Title Article Appendix Figure "
    "Table Class Level Stage Apollo Episode Rocky Schedule Canto Vol Mark Bowl Step Group".split()
)
