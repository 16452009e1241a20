"""Sentences for the synthesisers: made here from small word lists, never copied from a corpus.

The words were picked for their lips: plenty of bilabials and labiodentals beside open and
rounded vowels. Meaning is not needed, phones are.
"""

from __future__ import annotations

import random

_EN: dict[str, str] = {
    "name": "Bob Mabel Pam Pippa Wim Faye Vera Thea Ruth Owen Joan Chuck Sheila George Yolanda "
    "Zoe Hugo Leo Max Amy Abby Ben Oprah Umberto Phoebe Victor Bea Tom Emma Paul Bruno Maeve",
    "noun": "bubble map pepper mambo window forest village thumb leather treasure judge yacht "
    "zipper honey ladder rabbit mirror wolf engine onion apple umbrella bamboo puppy baby "
    "movie wave photo fever olive voice tooth bath weather feather path shoe ship fish "
    "measure garage church watch picture bridge jacket magic king finger song bank lake "
    "road river wheel quartz water wood book foot moon soup tool food cow house mouth crowd "
    "toy coin oyster boat phone stone rope home paper plate train game bed pencil letter "
    "milk pillow tree sheep field pea car garden farm father box clock dog office ball law "
    "camera problem number member company lemon drummer family system program problem shop",
    "adj": "big small plump bitter modern damp empty famous blue purple warm soft rough heavy "
    "vivid brave thick smooth other sharp fresh huge yellow young happy lovely real quiet "
    "wooden awful cool loud brown royal moist slow open plain great simple common proper "
    "public impossible broken fabulous marvellous pompous bumpy",
    "verb": "bumps paints moves borrows drops copies maps wipes buys pulls meets brings forgets "
    "fills loves views offers follows thanks breathes bathes watches pushes reaches joins "
    "uses hears holds wraps wants worries walks likes needs calls opens throws shows makes "
    "becomes remembers empties numbers imagines pumps grabs puts keeps hopes jumps",
    "adv": "slowly maybe often perhaps never above by now before supper beautifully at home "
    "quickly together somewhere every morning by the bay without a map for a moment",
    "prep": "with by for above below from behind over under beneath among beyond into upon",
    "num": "one two three four five six seven eight nine ten eleven twelve fifteen twenty "
    "seventy million ninety-five half",
    "say": "yes|no|maybe|please|wow|oh my|well|hmm|okay|goodbye|welcome back|pardon me|"
    "thank you very much|by all means|of course|what a view|whoops|bravo",
}
_EN_WORDS = {k: v.split("|") if k == "say" else v.split() for k, v in _EN.items()}
_EN_TEMPLATES = (
    "{name} {verb} the {adj} {noun} {prep} the {noun}.",
    "{say}, {name}, the {noun} {verb} a {adj} {noun}.",
    "Why would {name} and {name} {verb} {num} {adj} {noun}s {adv}?",
    "{num} {noun}s, {num} {noun}s, and {num} {adj} {noun}s.",
    "The {noun} of {name} {verb} {adv}, but the {noun} {verb} {name}.",
    "My {noun} is {adj}, your {noun} is {adj}, and {name} {verb} both.",
    "I believe we may {adv} find a {adj} {noun} {prep} {name}'s {noun}.",
    "{say}! {say}. {name} {verb} it.",
    "Call {num} {num} {num}, extension {num} {num}.",
    "{noun}, {noun}, {noun}; {adj} {noun}, {adj} {adj} {noun}.",
    "Please press {num} to hear about the {adj} {noun}, or say {noun}.",
    "How do you do, {name}? Could you show the {noun} to my {adj} {noun}?",
    "If {name} {verb} {adv}, who {verb} the {noun} of the {adj} {noun}?",
    "We were at {num} {noun} road, above the {adj} {noun}, {adv}.",
    "Spell it: {spell}.",
    "{name} has never {verb} so {adj} a {noun}.",
)

_WORDS: dict[str, str] = {
    "de": "Mama Papa Bub Pumpe Baum lieben leben gehen schön Tür fünf über Vater Wasser Buch "
    "Straße schreiben Freund Öl Hund Affe Apfel Kopf offen möchte Mutter Abend Blume möglich "
    "wunderbar sprechen machen Zeit jetzt bitte danke Morgen immer vielleicht haben blau rot "
    "grün gelb weiß Fenster Himmel Problem Bahnhof Kaffee kommen bleiben",
    "fr": "maman papa bonjour beau bleu bouche peuple pomme femme homme vous nous lune rue deux "
    "neuf oeuf vin bon blanc main pain enfant chanter je jamais chaque vieux feuille oui "
    "pluie nuit voiture famille merci beaucoup possible problème petit grand rouge vert école "
    "monde champ montagne soupe fou amour ami boire vivre",
    "es": "mamá papá bueno abuelo vino beber amigo hombre mujer pueblo campo tiempo nombre ombligo "
    "favor fuego agua huevo puerta perro calle lluvia niño joven jueves gente chico mucho "
    "siempre nunca quizás problema imposible blanco verde azul rojo sombra bomba primo cumbre "
    "voz vaca baile abrir comprar empezar subir poder querer llamar",
    "it": "mamma babbo buono bambino pomodoro piove bocca febbre amico uomo uovo vivo favola fumo "
    "gatto cane gnocchi famiglia figlio sogno cielo ciao giorno giovane zio pizza acqua "
    "quando sempre forse problema possibile bello brutto verde rosso bianco campo tempo ombra "
    "aprire comprare bere vedere parlare chiamare gruppo troppo tubo",
    "pt": "mamãe papai bom boa bebê pombo fome homem mulher amigo vinho vida povo campo tempo "
    "nome sombra bomba falar beber viver abrir comprar ruim chuva jovem gente hoje sempre "
    "nunca talvez problema impossível branco verde azul vermelho pão mão coração água porta",
    "ru": "мама папа баба пол мыло рыба вода волк воробей фабрика шапка жизнь чай щука хлеб город "
    "дом время имя память любовь берег бумага поле море небо обед привет спасибо пожалуйста "
    "хорошо плохо большой маленький белый синий зелёный быстро медленно помню пробую бегу "
    "пою вижу говорю возможно проблема",
    "pl": "mama tata baba pies ryba woda chleb dom okno szkoła życie człowiek dobry biały żółty "
    "czerwony zielony mówić pić być widzieć bułka pomoc problem możliwy kobieta babcia wujek "
    "śnieg ćma dźwięk pamięć drzewo morze niebo ulica powoli szybko zawsze nigdy",
    "tr": "baba anne bebek kapı pembe mavi sabah akşam mümkün problem köpek kedi ekmek su çay göl "
    "gül öğretmen büyük küçük güzel yavaş hızlı bilmek vermek yapmak komşu orman deniz yıldız "
    "ışık kırmızı yeşil beyaz buğday üzüm elma armut müzik",
    "nl": "mama papa boom buurman blauw boek huis muis vuur vrouw vijf water wonen praten lopen "
    "bloem appel problem mogelijk misschien altijd nooit leuk deur straat schip school fiets "
    "gezellig goed groen geel rood wit bruin morgen avond komen bellen spreken schrijven",
    "sv": "mamma pappa barn bok blå blomma vatten vinter sommar öppna bröd hund björn sjö skön "
    "kyrka tjugo sjunga fem sju åtta nio problem möjligt kanske alltid aldrig vacker gul grön "
    "röd vit hem höra prata bo måne pojke flicka sova vakna",
    "fi": "äiti isä poika pappa mummo hyvä päivä vesi puu pöytä lumi pimeä yö työ syödä juoda "
    "puhua elämä ilma meri metsä suomi vuosi piippu pyyhe höyry löytää ehkä aina ongelma "
    "mahdollinen sininen vihreä punainen valkoinen musta kaupunki perhe vapaa viisi",
    "cs": "máma táta babička pes ryba voda chléb dům okno škola život člověk dobrý bílý žlutý "
    "červený zelený mluvit pít být vidět pomoc problém možný žena strýc sníh zvuk paměť strom "
    "moře nebe ulice pomalu rychle vždy nikdy řeka tři přítel kůň",
    "ca": "mare pare bon dia pa vi poble camp temps nom ombra bomba foc aigua ou porta gos carrer "
    "pluja noi jove gent molt sempre mai problema impossible blanc verd blau vermell veu vaca "
    "ball obrir comprar pujar poder voler cridar peix caixa muntanya home",
    "hi": "माँ पापा बाप पानी फूल भाई बहन मकान पुस्तक आम बाबू भारत मुंबई समय प्रेम वर्षा विश्व "
    "हम तुम आप क्या कब कहाँ अच्छा बुरा बड़ा छोटा लाल पीला नीला हरा सफेद बोलना पीना देखना सुनना "
    "खाना जाना आना मित्र कमल भोजन बादल पवन",
    "ja": "はは ちち ぼく みみ うみ やま かわ みず ひ ほん まど ぶどう ぱん べんとう ふね ふゆ "
    "はる なつ あき おはよう こんばんは ありがとう むら まち みんな もも ばら びょういん ぷりん "
    "たべる のむ みる よむ はなす わたし あなた",
    "cmn-latn-pinyin": "ma1ma5 ba4ba5 peng2you3 ming2tian1 fei1ji1 shui3 huo3 wo3 ni3 ta1 bu4 "
    "hao3 mei3 bei3jing1 fan4 shu1 yu2 yue4 lü4 nü3 mao1 gou3 niao3 hua1 pao3 bi3 mi3 fu4mu3 "
    "bai2 hei1 hong2 lan2 zhong1guo2 xie4xie5 zai4jian4 qing3 wen4 sheng1yin1 zui3ba5 ke3yi3",
}
LANGUAGES = tuple(_WORDS)


def english(rng: random.Random) -> str:
    """Return one English sentence."""
    template = rng.choice(_EN_TEMPLATES)
    while "{" in template:
        head, rest = template.split("{", 1)
        key, tail = rest.split("}", 1)
        if key == "spell":
            word = " ".join(rng.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", rng.randint(3, 6)))
        else:
            word = rng.choice(_EN_WORDS[key])
        template = head + word + tail
    return template[0].upper() + template[1:]


_FIRST = (
    "after all always and any anna apples are as at easy each eating eight either eleven "
    "emma empty enough even every if in is it i ice idle ocean odd oil old olive on only open or "
    "other our out over owls oak under until up us ugly ask answer enter extra email error option "
    "action"
)
_SHORT = (
    "{v}.", "{v} {noun}.", "{v} {noun}, {v} {noun}.", "{v} the {noun}.", "{v}, {v}, {v}.",
    "{v} {adj} {noun}.", "{v} {num} {noun}s.", "{v}! {v} {verb} it.",
)  # fmt: skip


def vowel_first(rng: random.Random) -> str:
    """Return a few English words that begin with a vowel, as sentences seldom do.

    A vowel that follows a silence rises as it does out of B; only examples tell them apart.
    """
    template = rng.choice(_SHORT)
    while "{" in template:
        head, rest = template.split("{", 1)
        key, tail = rest.split("}", 1)
        template = head + rng.choice(_FIRST.split() if key == "v" else _EN_WORDS[key]) + tail
    return template[0].upper() + template[1:]


# Words whose rounding the sound alone hardly tells: many speakers say "you", "two" and "no" with
# the tongue far in front, so only context and the upper formants part them from "ye", "tea", "nay".
_ROUNDED: dict[str, str] = {
    "you": "you you you your you're you'll you've use uses used user unit united unique usual "
    "menu value volume queue cue cute cube few view review interview beauty music museum human "
    "huge humour future fuse refuse confuse computer commute community popular regular argue "
    "continue rescue nephew pupil Europe youth useful music",
    "front": "do two too through new knew noon soon moon zoo shoe choose juice June July blue clue "
    "lose loose suit super student stupid tuna tube tune duty news noodle include conclude route "
    "rude true crew fruit group cool school food tool jewel issue",
    "back": "good book cook could should would look foot put push pull full wood stood took sugar "
    "cushion bush",
    "go": "no know so go don't phone telephone only alone hello slow low show those though open "
    "home note tone zone stone row road load code mode total local social unknown tomorrow window "
    "yellow follow photo piano echo zero nobody over goal",
    "we": "one we will was were what want wait away twelve twenty always between queen quick "
    "language wish week wave swim sweet swap twin quiet everywhere when with",
    "spread": "yes year yet yield yesterday tea team teach tip till tin ticket ten deal deep dip "
    "did dead dish need knit net never lean leave listen little lip let less seat seem sit sister "
    "sense set she sheep ship shed cheese chicken check jeep jet geese give get key keep kitten "
    "kettle heat him head these this them then reach rib red pin bean bit been see easy isn't "
    "it in is press enter letter ready begin",
    "to": "to leave|to listen|to hear|to enter|to delete|to the list|to its end|to me|to send it|"
    "to be|to reach them|to rest|to keep",
    "end": "you|use it|your menu|for you|by you|in use|do it|you know|thank you|at noon|too",
}
_ROUNDED_WORDS = {k: v.split("|") if k in ("to", "end") else v.split() for k, v in _ROUNDED.items()}
_ROUNDED_TEMPLATES = (
    "{you} {spread} {front} {go}.",
    "{front} {front}, {spread} {front}, {go} {you}.",
    "Press {we} {to}, or {front} {to}, {you} {spread}.",
    "If {you} {spread} {go}, {we} {front} {to} {end}.",
    "{spread} {you} {go} {spread} {end}.",
    "Do you {spread} {back} {go}? {go}, {you}.",
    "{we} {back} {you}, {spread} {go} {spread}.",
    "The {you} {go} is {front}, the {spread} {front} is {you}.",
    "{you}, {you}, {spread}, {you}; {front} {to} {end}.",
    "{go}. {go} {spread}, {go} {front}, {we} {end}.",
    "When you {spread} it, {we} {spread} your {front} {go}.",
    "{spread} it {to}, {spread} the {go} in {you} {end}.",
)


def rounded(rng: random.Random) -> str:
    """Return English words in which rounded and spread lips share their neighbours."""
    template = rng.choice(_ROUNDED_TEMPLATES)
    while "{" in template:
        head, rest = template.split("{", 1)
        key, tail = rest.split("}", 1)
        template = head + rng.choice(_ROUNDED_WORDS[key]) + tail
    return template[0].upper() + template[1:]


# Onsets, vowels and codas as each language spells them ("-" is none; what stands more often comes
# more often). A coda ends one syllable in four.
_SYLLABLES: dict[str, tuple[str, str, str]] = {
    "en": (
        "p b m f v w t d n k g s l r h sh ch th j y pl br tr fl st sm sp kw - b p m d n",
        "a e i o u ee oo ay oa ar or ou oy igh ea aw",
        "m p b n t d k g f v s l ng sh",
    ),
    "es": (
        "p b m f t d n k g s l r ch ll ñ pr br tr dr pl bl fl gu j - p b m d n t d g",
        "a e i o u a e o ia ie ue ua",
        "n s l r m d",
    ),
    "it": (
        "p b m f v t d n c g s l r z pr br tr dr pl bl fl gn sp st - p b m d n t d",
        "a e i o u a e o ia ie uo ua",
        "n l r s m",
    ),
    "fr": (
        "p b m f v t d n c g s l r ch j pr br tr dr pl bl fl gn - p b m d n t",
        "a é i o u ou eu on an in oi è eau",
        "me ne te pe ve le re che",
    ),
    "de": (
        "p b m f w t d n k g s l r h sch pf z pl br tr fl - p b m d n t",
        "a e i o u ü ö ei au eu ie ah oh",
        "m n p b t d k l r s f ch",
    ),
    "pt": ("p b m f v t d n c g s l r ch lh nh pr br - p b m d n", "a e i o u ei ou ão", "m s r l"),
    "ca": ("p b m f v t d n c g s l r ll ny pr br - p b m d n", "a e i o u è ò", "m n p t l r s"),
    "cs": (
        "p b m f v t d n k g s l r š č ž ř h pr br - p b m d n",
        "a e i o u á é í ů ou",
        "m n p t k l r s",
    ),
    "fi": (
        "p m v t d n k s l r h j - p m n t k",
        "a e i o u y ä ö aa uu ii yy öö uo yö",
        "n s l r t",
    ),
    "pl": (
        "p b m f w t d n k g s l r sz cz ż ł pr br - p b m d n",
        "a e i o u y ó ą ę",
        "m n p t k l r s",
    ),
    "tr": (
        "p b m f v t d n k g s l r ş ç c y h - p b m d n",
        "a e ı i o ö u ü",
        "m n p t k l r s z",
    ),
    "eo": (
        "p b m f v t d n k g s l r c ĉ ŝ ĵ ĝ h j pr br tr dr pl bl fl - p b m d n t d g",
        "a e i o u a e o aŭ oj aj",
        "m n l r s j",
    ),
    "ru": (
        "п б м ф в т д н к г с л р ш ж ч х з пр бр тр др пл бл - п б м д н т",
        "а и у э ы а у ю я",
        "м н п т к л р с в",
    ),
    "uk": (
        "п б м ф в т д н к г с л р ш ж ч х з пр бр тр др пл бл - п б м д н т",
        "а е и і о у я ю",
        "м н п т к л р с в",
    ),
    "hi": ("प ब म भ फ त द न क ग स ल र च ज व ट ड ह प ब म द न", "ा ि ी ु ू े ो ा ो", "म न प त क ल र स"),
}
INVENTED = tuple(_SYLLABLES)


def invented(language: str, rng: random.Random) -> str:
    """Return words of ``language`` (one of ``INVENTED``) that nobody knows.

    Lists of real words are short, and each word brings the same sounds together again; B, D, P, T,
    M and N beside every vowel are what tells lips from tongue.
    """
    onsets, vowels, codas = (part.split() for part in _SYLLABLES[language])

    def word() -> str:
        parts = []
        for _ in range(rng.choice((1, 2, 2, 2, 3, 3))):
            coda = rng.choice(codas) if rng.random() < 0.25 else ""
            parts.append(rng.choice(onsets) + rng.choice(vowels) + coda)
        return "".join(parts).replace("-", "")

    picked = [word() for _ in range(rng.randint(4, 8))]
    if rng.random() < 0.4:
        picked[rng.randrange(1, len(picked))] += ","
    return " ".join(picked) + rng.choice((".", ".", "?", "!"))


def sentence(language: str, rng: random.Random) -> str:
    """Return one utterance in ``language`` (``en`` or one of ``LANGUAGES``)."""
    if language == "en":
        return english(rng)
    words = _WORDS[language].split()
    picked = [rng.choice(words) for _ in range(rng.randint(4, 9))]
    if rng.random() < 0.4:
        picked[rng.randrange(1, len(picked))] += ","
    return " ".join(picked) + rng.choice((".", ".", "?", "!"))
