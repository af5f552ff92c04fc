"""Names and loan words that espeak-ng's English mispronounces, in its IPA."""

from __future__ import annotations

import unicodedata

_PEOPLE = """
nguyen=wˈɪn niamh=nˈiːv saoirse=sˈɜːʃə joaquin=wɑːkˈiːn jorge=hˈɔːɹheɪ jose=hoʊzˈeɪ juan=wˈɑːn
guillermo=ɡiːˈɛɹmoʊ muñoz=muːnjˈoʊz nuñez=nˈuːnjɛz vazquez=vˈæskɛz jimenez=hɪmˈɛnɛz xi=ʃˈiː
ahmed=ˈɑːmɛd ravi=ɹˈɑːvi yusuf=jˈuːsʊf fatima=fˈɑːtiːmə goethe=ɡˈɜːtə chopin=ʃˈoʊpæn
debussy=dˌɛbjuːsˈiː wagner=vˈɑːɡnɚ tchaikovsky=tʃaɪkˈɔfski camus=kæmˈuː sartre=sˈɑːɹtɹə
foucault=fuːkˈoʊ descartes=deɪkˈɑːɹt rousseau=ɹuːsˈoʊ proust=pɹˈuːst dumas=duːmˈɑː manet=mænˈeɪ
degas=deɪɡˈɑː matisse=mɑːtˈiːs picasso=pɪkˈɑːsoʊ caravaggio=kˌæɹəvˈɑːdʒioʊ fourier=fˈʊɹieɪ
laplace=lɑːplˈɑːs huygens=hˈɔɪɡənz bohr=bˈɔːɹ planck=plˈɑːŋk siobhan=ʃɪvˈɔːn aoife=ˈiːfə
caoimhe=kwˈiːvə eoin=ˈoʊɪn padraig=pˈɔːɹɪk ciara=kˈɪɹə cillian=kˈɪliən sinead=ʃɪnˈeɪd sean=ʃˈɔːn
isla=ˈaɪlə aisha=aɪˈiːʃə ayesha=aɪˈiːʃə dvorak=dvˈɔːɹʒɑːk nadal=nədˈɑːl djokovic=dʒˈoʊkəvɪtʃ
zlatan=zlˈɑːtɑːn wojciech=vˈɔɪtʃɛk wałęsa=vəwˈɛnsə walesa=vəwˈɛnsə beyonce=biːˈɑːnseɪ
beyoncé=biːˈɑːnseɪ anaïs=ˌɑːnɑːˈiːs putin=pˈuːtɪn tutu=tˈuːtuː zhang=dʒˈɑːŋ zhao=dʒˈaʊ zhou=dʒˈoʊ
xu=ʃˈuː xiang=ʃˈɑːŋ liu=ljˈuː wang=wˈɑːŋ qin=tʃˈɪn huang=hwˈɑːŋ tutankhamun=tˌuːtəŋkˈɑːmən
ptolemy=tˈɑːləmi hatshepsut=hætʃˈɛpsuːt thoreau=θəɹˈoʊ poirot=pwɑːɹˈoʊ ronan=ɹˈoʊnən
charlize=ʃɑːɹlˈiːz ngozi=ŋɡˈoʊzi chiwetel=tʃˈuːətɛl timothée=tˌɪmətˈeɪ chalamet=ʃˌæləmˈeɪ
givenchy=ʒiːvɑːnʃˈiː hermès=ɛɹmˈɛz versace=vɚsˈɑːtʃi balmain=bælmˈæn moschino=mɔskˈiːnoʊ
lakshmi=lˈʌkʃmi priyanka=pɹijˈɑːŋkə kamala=kˈɑːmələ sundar=sˈʊndɑːɹ pichai=pɪtʃˈaɪ nadella=nədˈɛlə
thich=tˈɪk nhat=njˈɑːt hanh=hˈɑːn kierkegaard=kˈɪɹkəɡɑːɹd nietzsche=nˈiːtʃə euler=ˈɔɪlɚ lech=lˈɛk
luca=lˈuːkə giovanni=dʒoʊvˈɑːni matteo=mətˈeɪoʊ alejandro=ˌɑːlehˈɑːndɹoʊ javier=hɑːviˈɛɹ
jaime=hˈaɪmeɪ jesús=heɪsˈuːs miguel=mɪɡˈɛl raul=ɹɑːˈuːl ramón=ɹəmˈoʊn ignacio=ɪɡnˈɑːsioʊ
pablo=pˈɑːbloʊ
"""
_PLACES = """
tucson=tˈuːsɑːn oaxaca=wəhˈɑːkə tijuana=tiːəwˈɑːnə spokane=spoʊkˈæn cannes=kˈæn lyon=liːˈoʊn
versailles=vɛɹsˈaɪ bordeaux=bɔːɹdˈoʊ schenectady=skənˈɛktədi yakima=jˈækɪmɔː kyoto=kiːˈoʊtoʊ
poughkeepsie=pəkˈɪpsi osaka=oʊsˈɑːkə hokkaido=hɑːkˈaɪdoʊ nagasaki=nˌɑːɡəsˈɑːki busan=buːsˈɑːn
phuket=puːkˈɛt kabul=kˈɑːbʊl kyiv=kˈiːv dubai=duːbˈaɪ krakow=kɹˈɑːkaʊ zurich=zˈʊɹɪk turin=tˈʊɹɪn
gloucester=ɡlˈɔstɚ qatar=kətˈɑːɹ riyadh=ɹiːjˈɑːd edinburgh=ˈɛdɪnbɚɹə kauai=kəwˈaɪ lanai=lənˈaɪ
guangzhou=ɡwˌɑːŋdʒˈoʊ shenzhen=ʃˌʌndʒˈʌn chongqing=tʃˌʊŋtʃˈɪŋ sichuan=sˈɪtʃwɑːn szechuan=sˈɛtʃwɑːn
ababa=ˈɑːbəbə accra=əkɹˈɑː göteborg=jˈɜːtəbˌɔːɹ mojave=moʊhˈɑːvi jolla=hˈɔɪə natchitoches=nˈækətəʃ
puyallup=pjuːˈæləp sequim=skwˈɪm willamette=wɪlˈæmət cairns=kˈænz reykjavik=ɹˈeɪkjəvɪk
gdańsk=ɡədˈænsk gdansk=ɡədˈænsk wrocław=vɹˈɔtswɑːf łódź=wˈuːtʃ lódz=wˈuːtʃ ljubljana=ljˌuːbliˈɑːnə
antigua=æntˈiːɡə cancun=kænkˈuːn yucatan=jˌuːkətˈæn guadalajara=ɡwˌɑːdələhˈɑːɹə juarez=wˈɑːɹɛz
bogota=bˌoʊɡətˈɑː medellin=mˌɛdəjˈiːn rio=ɹˈiːoʊ sao=sˈaʊ iguazu=ˌiːɡwəsˈuː marrakech=mˌæɹəkˈɛʃ
ypres=ˈiːpɹə rheims=ɹˈiːmz reims=ɹˈiːmz leicester=lˈɛstɚ thames=tˈɛmz worcestershire=wˈʊstɚʃɚ
marylebone=mˈɑːɹləbən holborn=hˈoʊbɚn southwark=sˈʌðɚk norwich=nˈɔːɹɪtʃ warwick=wˈɔːɹɪk
durham=dˈɜːɹəm
"""
_BRANDS = """
nike=nˈaɪki adidas=ədˈiːdəs hyundai=hˈʌndeɪ porsche=pˈɔːɹʃə huawei=wˈɑːweɪ xiaomi=ʃˈaʊmi
linux=lˈɪnəks latex=lˈeɪtɛks ubuntu=ʊbˈʊntuː vlog=vlˈɑːɡ vlogs=vlˈɑːɡz vlogger=vlˈɑːɡɚ
vloggers=vlˈɑːɡɚz vlogging=vlˈɑːɡɪŋ sudo=sˈuːduː peugeot=pjuːʒˈoʊ renault=ɹənˈoʊ citroën=sˈɪtɹoʊən
lamborghini=lˌæmbɔːɹɡˈiːni volkswagen=vˈoʊkswæɡən ikea=aɪkˈiːə jpeg=dʒˈeɪpɛɡ jpegs=dʒˈeɪpɛɡz
nvidia=ɛnvˈɪdiə json=dʒˈeɪsən yaml=jˈæməl toml=tˈɑːməl ebay=ˈiːbeɪ
wysiwyg=wˈɪziwɪɡ sqlite=ˌɛskjuːlˈaɪt regex=ɹˈɛdʒɛks asus=ˈeɪsuːs asics=ˈeɪsɪks lancôme=lɑːnkˈoʊm
nestle=nˈɛsəl nestlé=nˈɛsleɪ qwerty=kwˈɜːɾi gnu=ɡnˈuː kubectl=kjˈuːbkəntɹoʊl
huggingface=hˈʌɡɪŋfeɪs
"""
_FOOD = """
gnocchi=njˈoʊki prosciutto=pɹəʃˈuːtoʊ focaccia=foʊkˈɑːtʃə tagliatelle=tˌɑːljətˈɛli
bruschetta=bɹuːskˈɛɾə ciabatta=tʃəbˈɑːɾə tiramisu=tˌɪɹəmisˈuː quinoa=kˈiːnwɑː acai=ˌɑːsɑːˈiː
jalapeño=hˌɑːləpˈeɪnjoʊ jalapeno=hˌɑːləpˈeɪnjoʊ jalapeños=hˌɑːləpˈeɪnjoʊz
jalapenos=hˌɑːləpˈeɪnjoʊz tortilla=tɔːɹtˈiːə tortillas=tɔːɹtˈiːəz ceviche=səvˈiːtʃeɪ tapas=tˈɑːpəs
croissant=kɹəsˈɑːnt croissants=kɹəsˈɑːnts crêpe=kɹˈɛp crepe=kɹˈeɪp bouillabaisse=bˌuːjəbˈɛs
foie=fwˈɑː gras=ɡɹˈɑː bechamel=bˌeɪʃəmˈɛl béchamel=bˌeɪʃəmˈɛl vichyssoise=vˌɪʃiswˈɑːz
charcuterie=ʃɑːɹkˈuːɾɚɹi vinaigrette=vˌɪnəɡɹˈɛt pho=fˈʌ banh=bˈɑːn edamame=ˌɛdəmˈɑːmeɪ
miso=mˈiːsoʊ udon=ˈuːdɑːn sashimi=sɑːʃˈiːmi tempura=tɛmpˈʊɹə teriyaki=tˌɛɹijˈɑːki kimchi=kˈɪmtʃi
bibimbap=bˈiːbɪmbɑːp gochujang=ɡˈoʊtʃuːdʒˌɑːŋ tahini=təhˈiːni tzatziki=tsɑːtsˈiːki gyro=jˈiːɹoʊ
gyros=jˈiːɹoʊz baklava=bˈɑːkləvˌɑː paella=paɪˈɛlə chorizo=tʃəɹˈiːsoʊ espresso=ɛspɹˈɛsoʊ
macchiato=mˌɑːkiˈɑːtoʊ biscotti=bɪskˈɑːɾi mascarpone=mˌɑːskɑːɹpˈoʊneɪ parmigiano=pˌɑːɹmɪdʒˈɑːnoʊ
orecchiette=ˌɔːɹəkjˈɛɾi linguine=lɪŋɡwˈiːni pappardelle=pˌæpɑːɹdˈɛleɪ radicchio=ɹədˈiːkioʊ
gouda=ɡˈuːdə gruyère=ɡɹuːjˈɛɹ gruyere=ɡɹuːjˈɛɹ camembert=kˈæməmbɛɹ sriracha=sɪɹˈɑːtʃə
turmeric=tˈɜːmɚɹɪk poutine=puːtˈiːn beignet=bɛnjˈeɪ beignets=bɛnjˈeɪz étouffée=ˌeɪtuːfˈeɪ
andouille=ændˈuːi jicama=hˈiːkəmə tomatillo=tˌoʊmətˈiːoʊ pozole=poʊsˈoʊleɪ horchata=ɔːɹtʃˈɑːtə
dulce=dˈuːlseɪ caipirinha=kˌaɪpɪɹˈiːnjə mojito=moʊhˈiːtoʊ cachaça=kəʃˈɑːsə rioja=ɹiˈoʊhɑː
sauvignon=sˌoʊvɪnjˈoʊn pinot=pˈiːnoʊ merlot=mɚlˈoʊ cabernet=kˌæbɚnˈeɪ chardonnay=ʃˌɑːɹdənˈeɪ
riesling=ɹˈiːslɪŋ syrah=sɪɹˈɑː rosé=ɹoʊzˈeɪ prosecco=pɹəsˈɛkoʊ hefeweizen=hˈeɪfəvˌaɪtsən
bratwurst=bɹˈɑːtwɜːst spaetzle=ʃpˈɛtslə pierogi=pɪɹˈoʊɡi borscht=bˈɔːɹʃt kielbasa=kiːlbˈɑːsə
challah=hˈɑːlə
"""
_LOAN_WORDS = """
schadenfreude=ʃˈɑːdənfɹˌɔɪdə doppelganger=dˈɑːpəlɡˌæŋɚ rendezvous=ɹˈɑːndeɪvˌuː faux=fˈoʊ
ennui=ɑːnwˈiː touché=tuːʃˈeɪ cortege=kɔːɹtˈɛʒ croquet=kɹoʊkˈeɪ denouement=dˌeɪnuːmˈɑːn
gauche=ɡˈoʊʃ haute=ˈoʊt riche=ɹˈiːʃ laissez=lˈɛseɪ maitre=mˈeɪtɹə papier-mache=pˌeɪpɚməʃˈeɪ
trousseau=tɹˈuːsoʊ pas=pˈɑː etat=eɪtˈɑː d'etat=deɪtˈɑː d'état=deɪtˈɑː d'etre=dˈɛtɹə d'être=dˈɛtɹə
raison=ɹeɪzˈoʊn hors=ˈɔːɹ geisha=ɡˈeɪʃə shui=ʃwˈeɪ feng=fˈʌŋ qi=tʃˈiː chateau=ʃætˈoʊ
château=ʃætˈoʊ tableau=tæblˈoʊ melee=mˈeɪleɪ milieu=mɪljˈɜː manga=mˈɑːŋɡə cliche=kliːʃˈeɪ
epee=ˈeɪpeɪ soiree=swɑːɹˈeɪ soirée=swɑːɹˈeɪ luau=lˈuːaʊ mahalo=məhˈɑːloʊ fiance=fiːɑːnsˈeɪ
fiancée=fiːɑːnsˈeɪ malaise=məlˈeɪz zeitgeist=zˈaɪtɡaɪst hygge=hˈuːɡə uber=ˈuːbɚ über=ˈuːbɚ
wunderkind=vˈʊndɚkɪnd poltergeist=pˈoʊltɚɡaɪst bildungsroman=bˈɪldʊŋzɹoʊmˌɑːn apropos=ˌæpɹəpˈoʊ
bourgeois=bʊɹʒwˈɑː bouquet=buːkˈeɪ cachet=kæʃˈeɪ crochet=kɹoʊʃˈeɪ ricochet=ɹˈɪkəʃeɪ
sobriquet=sˈoʊbɹɪkeɪ parquet=pɑːɹkˈeɪ ballet=bælˈeɪ chalet=ʃælˈeɪ façade=fəsˈɑːd macabre=məkˈɑːbɹə
segue=sˈɛɡweɪ segues=sˈɛɡweɪz segued=sˈɛɡweɪd hyperbole=haɪpˈɜːbəli synecdoche=sɪnˈɛkdəki
niche=nˈɪtʃ coup=kˈuː cliché=kliːʃˈeɪ clichés=kliːʃˈeɪz fiancé=fiːɑːnsˈeɪ
fjord=fjˈɔːɹd fjords=fjˈɔːɹdz
piñata=pɪnjˈɑːtə señor=seɪnjˈɔːɹ señora=seɪnjˈɔːɹə fiesta=fiˈɛstə siesta=siˈɛstə
pueblo=pwˈɛbloʊ conquistador=kɑːŋkˈiːstədɔːɹ llama=lˈɑːmə guerrilla=ɡəɹˈɪlə junta=hˈʊntə
machete=məʃˈɛɾi mañana=mənjˈɑːnə adieu=ədjˈuː bonjour=boʊnʒˈʊɹ merci=mɛɹsˈiː ciao=tʃˈaʊ
arrivederci=ˌɑːɹɪvədˈɛɹtʃi papier-mâché=pˌeɪpɚməʃˈeɪ lingerie=lˌɑːnʒəɹˈeɪ chaise=ʃˈeɪz longue=lˈɔŋ
tsar=zˈɑːɹ czar=zˈɑːɹ almond=ˈɑːmənd gyoza=ɡiˈoʊzə ramen=ɹˈɑːmən emeritus=ᵻmˈɛɹɪɾəs
quixotic=kwɪksˈɑːtɪk quixote=kihˈoʊteɪ tarot=tˈæɹoʊ ayahuasca=ˌaɪəwˈɑːskə namaste=nˈɑːməsteɪ
karma=kˈɑːɹmə diwali=dɪwˈɑːli ramadan=ɹˈɑːmədɑːn eid=ˈiːd hanukkah=hˈɑːnəkə chutzpah=hˈʊtspə
mensch=mˈɛnʃ kibitz=kˈɪbɪts klezmer=klˈɛzmɚ axolotl=ˈæksəlˌɑːtəl chihuahua=tʃɪwˈɑːwɑː shih=ʃˈiː
tzu=tsˈuː dachshund=dˈɑːkshʊnt rottweiler=ɹˈɑːtwaɪlɚ bichon=bˈiːʃɑːn frise=fɹiːzˈeɪ
chipotle=tʃᵻpˈoʊtleɪ dijon=diːʒˈoʊn entrepreneur=ˌɑːntɹəpɹənˈɜː entrepreneurs=ˌɑːntɹəpɹənˈɜːz
pikachu=pˈiːkətʃuː samoyed=sˈæməjɛd borzoi=bˈɔːɹzɔɪ
"""
_WORDS = dict(
    entry.split("=")
    for table in (_PEOPLE, _PLACES, _BRANDS, _FOOD, _LOAN_WORDS)
    for entry in table.split()
)
# espeak-ng joins "alpha" and "retrovirus" to something else.
_PREFIXES = {"alpha": "ˌælfə", "beta": "bˌeɪɾə", "gamma": "ɡˌæmə", "lenti": "lˌɛntɪ"}
_MIN_REST = 5  # letters after a prefix


def find_loan_word(word: str) -> str:
    """Return the IPA of a name or loan word, also with "'s"; "" if espeak-ng knows it."""
    key = word.lower()
    ipa = _WORDS.get(key, "")
    if not ipa and not key.isascii():
        plain = unicodedata.normalize("NFD", key).encode("ascii", "ignore").decode()
        ipa = _WORDS.get(plain, "")
    if not ipa and key.endswith("'s") and (stem := _WORDS.get(key[:-2])):
        ipa = stem + _possessive_ending(stem)
    return ipa


def split_prefix(word: str) -> tuple[str, str]:
    """Return the IPA of a combining form that a word begins with, and the rest; else "", word."""
    key = word.lower()
    for prefix, ipa in _PREFIXES.items():
        if key.startswith(prefix) and key[:8] != "alphabet" and len(key) - len(prefix) >= _MIN_REST:
            return ipa, word[len(prefix) :]
    return "", word


def _possessive_ending(ipa: str) -> str:
    if ipa.endswith(("s", "z", "ʃ", "ʒ")):
        return "ᵻz"
    return "s" if ipa.endswith(("p", "t", "k", "f", "θ")) else "z"
