"""Tables of English spelling: abbreviations, acronyms, signs and letters of other alphabets."""

# fmt: off

# Read in full before a name or a number; their period never ends a sentence.
TITLES = {
    "mr": "Mister", "mrs": "Misses", "ms": "Miz", "mx": "Mix", "dr": "Doctor",
    "prof": "Professor", "adm": "Admiral", "cmdr": "Commander", "det": "Detective",
    "pvt": "Private", "cpl": "Corporal", "brig": "Brigadier", "amb": "Ambassador",
    "atty": "Attorney", "sra": "Senyora", "insp": "Inspector", "pfc": "Private First Class",
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
    "est": "established", "misc": "miscellaneous", "vol": "volume", "min": "minimum", "al": "al",
    "ibid": "ibid", "tel": "telephone", "ext": "extension", "sec": "seconds", "jan": "January",
    "feb": "February", "mar": "March", "apr": "April", "jun": "June", "jul": "July",
    "aug": "August", "sep": "September", "sept": "September", "oct": "October", "nov": "November",
    "dec": "December", "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday",
    "thu": "Thursday", "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "cent": "cent",
    "lbs": "pounds", "oz": "ounces", "ln": "Lane", "ct": "Court", "pl": "Place", "sq": "Square",
    "pkwy": "Parkway", "ter": "Terrace", "cir": "Circle", "bldg": "building", "ste": "suite",
    "rm": "room", "intl": "international", "natl": "national", "mgr": "manager",
    "asst": "assistant",
    "assoc": "associate", "attn": "attention", "avg": "average", "max": "maximum",
    "tbsp": "tablespoons", "tsp": "teaspoons", "pkg": "package", "qty": "quantity",
    "ref": "reference",
    "temp": "temperature", "yr": "year", "yrs": "years", "wk": "week", "hr": "hour", "hrs": "hours",
    "mi": "miles", "gal": "gallons", "elev": "elevation", "pop": "population", "dist": "district",
    "tech": "technology", "mfg": "manufacturing", "cont": "continued", "ea": "each",
    "incl": "including",
    "excl": "excluding", "fwd": "forward", "hosp": "hospital", "lib": "library", "sgd": "signed",
}

# These are also ordinary words ("no", "art"), so they count only before a number.
BEFORE_NUMBERS = {
    "pg": "page", "no": "number", "nos": "numbers", "p": "page", "pp": "pages", "fig": "figure",
    "figs": "figures", "ch": "chapter", "art": "article", "eq": "equation", "ed": "edition",
    "vol": "volume", "vols": "volumes", "sec": "section", "pt": "part", "ca": "circa",
    "c": "circa", "rm": "room", "apt": "apartment", "ste": "suite", "fl": "floor",
    "bldg": "building", "ext": "extension", "rte": "route", "chap": "chapter", "para": "paragraph",
    "ex": "example", "op": "opus", "ser": "series", "tab": "table", "ver": "version",
    "v": "version",
    "nr": "number", "wk": "week", "est": "established", "b": "born", "d": "died", "r": "reigned",
    "max": "maximum", "min": "minimum", "avg": "average", "ft": "Fort",
}

# Also without a period: "Apt 3C", "fig 2".
NUMBERED_BARE = frozenset(
    "apt rm ste bldg fig figs vol vols chap pg ext eq sec".split()
)

# Read in full after a name or an ordinal: "Oak Dr.", "12 Main St, Boston", "5th Ave".
STREETS = {
    "st": "Street", "dr": "Drive", "ave": "Avenue", "av": "Avenue", "blvd": "Boulevard",
    "rd": "Road", "ln": "Lane", "ct": "Court", "pl": "Place", "sq": "Square", "pkwy": "Parkway",
    "hwy": "Highway", "ter": "Terrace", "cir": "Circle", "expy": "Expressway", "fwy": "Freeway",
}

# Abbreviations that may stand without a period.
WITHOUT_PERIOD = {
    "mr": "Mister", "mrs": "Misses", "ms": "Miz", "dr": "Doctor", "vs": "versus",
    "etc": "et cetera", "messrs": "Messers", "approx": "approximately",
    "dept": "department", "govt": "government", "blvd": "Boulevard", "pkwy": "Parkway",
    "vols": "volumes", "prof": "Professor", "sgt": "Sergeant", "capt": "Captain",
    "lt": "Lieutenant",
    "ltd": "Limited", "bldg": "building", "mgmt": "management", "hwy": "Highway",
}

# Read as a whole wherever they stand; the keys are in small letters.
PHRASES = {
    "tl;dr": "T L D R", "n/a": "N A", "a/c": "A C", "c/o": "care of", "b/c": "because",
    "i/o": "I O", "s/he": "she or he", "a/b test": "A B test",
    "c#": "C sharp", "f#": "F sharp", "l/r": "left right", "h/t": "hat tip",
    "k-9": "K nine", "p.s": "P S", "w/in": "within", "d/c": "D C", "b/w": "between",
}

# Chemical formulas without a digit.
FORMULAS = frozenset("NaCl KCl HCl NaOH KOH HCN NaF LiCl AgCl ZnO CaO MgO FeO HBr NaI KBr".split())

# Written with a period after every letter; the keys are without the periods.
DOTTED = {
    "eg": "for example", "ie": "that is", "phd": "P H D", "md": "M D", "aka": "A K A",
    "am": "A M", "pm": "P M", "bc": "B C", "ad": "A D", "no": "number", "nb": "note well",
}

# Capitals without a vowel, or of at most three letters, are spelled out, and so are these, even in
# a text of capitals.
SPELLED_OUT = frozenset(
    "ACLU USSR UCLA USDA NAACP IEEE ASAP LGBTQ LGBTQIA USAF AFAIK OECD IAEA YMCA YWCA ADHD NCAA "
    "MPAA RIAA ESPN ISBN ISSN UNHCR EEOC USMC IMDB AARP NAACP OLED AMOLED USPS UPS IIRC IMHO "
    "AWOL UK USA EU UN UAE FBI CIA NSA IRS CEO CFO CTO COO AI API URL USB CPU GPU ATM DIY FAQ "
    "FYI IBM IOU IPO IQ MIT MBA MRI NBA NFL NHL NGO PHD SUV UFO VIP VPN DNA RNA DVD BBC CNN NBC "
    "CBS ABC HBO AM FM PM TV PC CD DJ HIV IVF SOS TBA AKA ETA EST GMT UTC PDF ISO IP ID HR PR "
    "GDP NYC LAX AAA".split()
) - {"AM", "PM", "EST"}

# Words of at most three letters that are not spelled out in capitals.
SHORT_WORDS = frozenset(
    "RAM ROM LAN WAN PIN SIM GIF ZIP VAT AND THE FOR ARE BUT NOT YOU ALL ANY CAN HAD HER WAS "
    "ONE OUR OUT DAY GET HAS HIM HIS HOW MAN NEW NOW OLD SEE TWO WAY WHO BOY DID ITS LET PUT "
    "SAY SHE TOO USE DAD MOM YES END WHY TRY ASK MEN RUN BAD BIG FEW FAR OFF OWN RED SET SIR "
    "SIX TEN TOP WAR OH OF TO IN IS ON AT AS BY BE HE WE MY OR IF DO GO NO SO UP AN AM ME HI AH "
    "HA MAY FUN GOD DON BOB TOM JIM SAM BEN DAN MAX JOE KEN RON SUE AMY KIM EVA IDA LEE BOX CAR "
    "DOG CAT EAT SUN TEA TOY WIN WON YET ADD AGE AGO AIR ART BED BUY CUT EYE FLY GUN HIT HOT "
    "ICE JOB KEY LAW LAY LOW MAP MIX OIL PAY RAN SAD SEA SIT SKY TAX TIE VAN WET BUS IT SAT ACE "
    "ACT AID AIM ALE ANT APE APP APT ARC ARK ARM ASH ATE AWE AXE BAG BAN BAR BAT BAY BEE BEG "
    "BET BID BIN BIT BOW BUD BUG BUN CAB CAP COD COP COT COW COY CRY CUB CUE CUP DAB DAM DEN "
    "DEW DID DIE DIG DIM DIP DOE DOT DRY DUB DUE DUG DYE EAR EEL EGG EGO ELF ELK ELM EVE EWE "
    "FAD FAN FAT FED FEE FIG FIN FIT FIX FLU FOE FOG FOX FRY FUR GAG GAP GAS GEL GEM GOT GUM "
    "GUT GUY GYM HAM HAT HAY HEN HEY HID HIP HOG HOP HUG HUM HUT ILL INK INN ION IVY JAM JAR "
    "JAW JAY JET JOG JOY JUG KID KIN KIT LAB LAD LAP LEG LID LIE LIP LIT LOG LOT MAD MAT MET "
    "MOB MUD MUG NAP NET NIL NOD NOR NUN NUT OAK OAR OAT ODD ODE OPT ORB ORE OWE OWL PAD PAL "
    "PAN PAW PEA PEG PEN PEP PET PIE PIG PIT POD POP POT PRY PUB PUN PUP RAG RAP RAT RAW RAY "
    "RIB RID RIM RIP ROB ROD ROT ROW RUB RUG RUM RUT RYE SAG SAP SAW SEW SHY SIN SIP SKI SLY "
    "SOB SOD SON SOW SOY SPA SPY SUM TAB TAG TAN TAP TAR TEN TIN TIP TOE TON TOW TUB TUG URN "
    "VEX VET VOW WAG WAX WEB WED WIG WIT WOE WOK YAK YAM YAP YAY YEN YEP YOU ZAP ZEN ZOO AHA "
    "BYE DUH HUH NAH UGH WOW YUM OW UM UH AY YO PA MA HO OX AX US NAN GIG VLOG SPY COW LEO ANN "
    "ROY RAY IAN LEN LOU MAE NED PAM PAT SAL SID TED TIM VIC ZOE GUS HAL JAN JAY JEN JON KAY "
    "XBOX KLEIN KIT LIZ MEL MIA NIA ABE ADA AL ED JO BO TY".split()
)
# In capitals these are words or initialisms, by what stands around them.
AMBIGUOUS_CAPITALS = frozenset(("US", "WHO", "IT", "SAT", "ACT", "PA", "MA", "LED", "HO"))
# Initialisms that are also written in small letters.
SMALL_INITIALISMS = frozenset(
    "www http https html css pdf usb fyi diy tv pc cd dvd url gps atm vip mp png jpg xml sql php "
    "ssh ftp api cpu gpu lcd hdmi wtf brb btw tbh idk imo imho ceo nba nfl ufo".split()
)

# Interjections, in IPA, that espeak would spell out.
INTERJECTIONS = {
    "hm": "həm", "hmm": "həm", "mm": "m", "mhm": "əmhˈʌm", "sh": "ʃ", "shh": "ʃ",
    "ssh": "ʃ", "psst": "pst", "pst": "pst", "brr": "bɜː", "grr": "ɡɜː",
    "tsk": "tɪsk", "pfft": "fət", "zz": "z", "ahh": "ˈɑː", "aah": "ˈɑː", "argh": "ˈɑːɹɡ",
    "aargh": "ˈɑːɹɡ", "nth": "ˈɛnθ",
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
    "⋅": "times", "∓": "minus or plus", "∝": "is proportional to", "∈": "is in",
    "∀": "for all", "∃": "there exists", "∂": "partial", "∫": "integral", "∆": "delta",
    "∅": "empty set",
    "≡": "is equivalent to", "⇒": "implies", "←": "from", "↔": "if and only if", "≅": "about",
    "∩": "intersection", "∪": "union", "⊂": "is a subset of", "ℓ": "l", "µ": "micro", "Ω": "ohms",
    "℅": "care of", "∴": "therefore",
    "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₿": "bitcoin", "₹": "rupee",
    "₩": "won", "₽": "ruble", "¢": "cents", "−": "minus", "∑": "sum", "π": "pi",
}

POWERS = frozenset("²³⁴⁵⁶⁷⁸⁹^")
BEFORE_SIGNS = POWERS | frozenset(" =+*×−)<>")

# Signs of several characters, longest first.
OPERATORS = {
    "<=>": "if and only if", "<->": "to and from", "+/-": "plus or minus", "!==": "is not equal to",
    "===": "equals", "!=": "is not equal to", "==": "equals", "<=": "less than or equal to",
    ">=": "greater than or equal to", "->": "to", "=>": "implies", "<-": "from",
    "<>": "is not equal to",
    "~=": "about", ":=": "is defined as", "++": "plus plus",
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
    "Table Class Level Stage Tier Grade Category Clause Lesson Unit Apollo Episode Rocky "
    "Schedule Canto Vol Mark Bowl Step Group Vatican Div Division Axis Quadrant Book Lecture "
    "Module Canto Sonata Symphony".split()
)

# Before the plural of a letter: "two As".
COUNTING_WORDS = frozenset(
    "two three four five six seven eight nine ten many straight all some these those few several "
    "both double mostly".split()
)
