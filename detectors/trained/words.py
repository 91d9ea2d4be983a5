"""Small words by language, from which a text's language is told: the closed class (articles, pronouns, prepositions,
auxiliaries), greetings, and for languages that are read the commonest verbs and nouns of requests too.
"""

from collections.abc import Mapping

ENGLISH = """
    a an the of and to in is that it for you with on are this be was have not what how can my your by from at as
    or which were has had but they his her their its will would there been i me we us our he she him them if so
    do does did done don't i'm it's can't just like about when who why where all any some no yes more than then
    out up into over only also very make made get got give tell write explain please could should may might must
    let's let here now new one two first people time want need know think help these those such each other many
    much most because while after before between without through during against under again same own too both
    few how's what's that's say said see use using used create generate show list find work way good day year
    question answer following language model text code sentence word words story hello hi thanks thank sorry
    okay ok lol yeah nah gonna wanna never always every really still going something nothing anything someone
    thing things back off down around i've you're we're they're isn't doesn't didn't won't i'd i'll you'll
    there's ain't u r ur im dont cant come comment men per pro ho son dame sale main den chat war hat van ten
    care hoe god die bless lot date net fort moi age ate pan ton sur non mit von des les el la de los san et al
    sole note ha dis faire fair os dir une resume orders order bit bin tag gift art week plan fin bad hotel baby
    project
    """
# Those that Assay has an encoder for, beside English, in Latin letters.
READ: Mapping[str, str] = {
    "de": """
    der die das und ist nicht ich zu ein eine den mit sie auf für wie dem von auch wird sind oder bei nach aus
    einer eines einen einem es dass wenn aber nur noch schon mehr kann können könnte möchte muss müssen habe
    haben hat hatte werden wurde sein seine ihr ihre ihren mein meine meinen meinem mir mich dir dich dein deine
    wir uns unser euch du bist bin im zum zur vom über unter zwischen durch ohne gegen warum wer welche welcher
    welches diese dieser dieses alle alles sehr bitte danke hallo guten morgen tag abend gut geht geht's gibt
    machen mache macht schreib schreibe erkläre frage leute menschen heute jetzt immer nie wieder etwas nichts
    keine kein keinen doch mal ja nein hier dort weil damit denn wo wann brauche sag sagen sollte will wollen
    ganz viel viele tschüss bis wären wäre soll sollen bedeutet wieviel zwei drei wort übersetze korrigiere
    empfiehlst empfehlen hilf hilft helfen könnten würde würden darf lautet gestern jahre beim ans ins fasse
    plane
    """,
    "fr": """
    le la les et est un une que pour dans des je vous pas ce il sur avec qui du sont au aux ses été cette par
    plus mais ou où nous tu elle ils elles mon ma mes ton ta tes son sa leur leurs notre votre nos vos ne se si
    en y c'est j'ai qu'est quel quelle quels quelles comment pourquoi quand peut peux pouvez puis-je puis faire
    fait être avoir suis es sommes êtes ont avait tout tous toute toutes très bien bonjour merci salut s'il
    plaît oui non aussi comme sans sous entre chez donc alors cet ces celui écris écrire explique donne dis moi
    toi lui jour gens aujourd'hui rien jamais encore fais veux voudrais faut d'un d'une l'on ça va à de était
    serait bonsoir revoir combien deux trois quelqu'un résume faut-il traduis corrige recommande aide aidez
    pourrais pourriez voudrait dois doit vais allons beaucoup peu années fois demain hier t'es t'as t'a j'y
    qu'une qu'un qu'il qu'elle qu'on qu'en qu'à n'est n'a n'ai n'y s'est d'accord d'être l'a m'a c'était j'étais
    j'aime jusqu'à lorsque celle ceux sera seront soit vraiment trop
    """,
    "es": """
    el los las de y una con para se del su como por más fue al lo sus cuando muy sin qué cómo quién dónde cuál
    puedo puede pueden quiero tengo tiene hay es son está están estoy ser estar hacer hago yo tú él ella
    nosotros ellos mi mis tus nos os te pero si porque sobre entre hasta desde donde todo todos toda todas
    también este esta estos estas ese esa eso esto hola gracias buenos días buenas noches tardes favor sí ya
    nada nunca siempre gente hoy escribe escribir explícame explica dame dime necesito cada otro otra ha han
    había que en la un no le les unos unas resume tres dos necesita regla sirve quiénes cuáles cuántos cuántas
    traduce corrige recomienda resúmeme escríbeme ayúdame ayudarme puedes podrías serían cuánto cuánta años vez
    bien mal mucho mucha muchos muchas ir voy va vamos eres soy somos sois tienes tienen haz haces hace ven pues
    así aunque quien cual mientras después antes sea sean siendo nuestro nuestra vuestro aquí allí ahí
    """,
    "it": """
    di che e per non sono della nel gli alla anche dei delle è si dal come mi ti ci vi lo i il uno ho hai hanno
    abbiamo sei siamo fare posso può vorrei voglio cosa chi perché quando dove quale questo questa questi queste
    quello quella tutto tutti tutte molto ciao grazie buongiorno buonasera prego sì ma più con su tra fra da
    dalla nella sulla degli agli essere avere mio mia miei tuo tua suo sua loro nostro ogni oggi sempre mai
    niente scrivi scrivere spiega spiegami dammi dimmi gente bene va la le un una del al nell dell all quanti
    quanta quali volentieri tre due otto anni mandami consigli serve traduci correggi consiglia aiutami aiuto
    potresti puoi vuoi devo deve quanto volta male molti molte faccio fa vado andiamo domani ieri poi c'è dov'è
    com'è un'altra dell'anno l'ho t'ho nessuno siete state stato era erano
    """,
    "pt": """
    o os do da em um uma com não dos das na ao pela mais foi é são está estão eu você vocês ele ela eles nós meu
    minha meus minhas seu sua seus suas nosso isso isto este esta esse essa como quando onde porque por que quem
    qual posso pode quero preciso fazer ser estar ter tem tenho há muito todos todas também olá oi obrigado
    obrigada bom dia boa noite tarde sim já nunca sempre nada gente hoje escreva escrever explique dê diga me te
    mas ou sem até pelo nem aqui para à às de e a no se significa dois três prazer envie corrijo cancelo plano
    resuma quantos quantas traduza corrija recomende ajude ajudar poderia quanto quanta quais cadê faço faz fica
    vou vai vamos bem mal muita muitas pra aquele aquela nossa num numa anos vez cada português és somos fomos
    seja estava estavam tinha deles dela dele
    """,
    "nl": """
    het een van dat niet ook zijn voor aan bij naar wordt de en ik je jij u hij zij wij we jullie mijn jouw uw
    ons onze hun hoe wat wie waar waarom wanneer welke kan kun kunt kunnen moet moeten wil willen heb heeft
    hebben had ben bent was waren maar of als dan om te op uit over onder tussen door zonder tegen deze dit die
    er geen wel nog al alle alles zeer veel graag hallo dank dankje bedankt goed goedemorgen goedendag gaat ja
    nee schrijf leg geef maak doen mensen vandaag altijd nooit iets niets eens met mij me zich is in doei jou
    hoi werd twee drie zes hoeveel vertaal verbeter vat samen aub alsjeblieft gaan ga hoelang worden werden zou
    zouden zullen zal weinig heel erg elke dag week jaar niks want omdat terwijl zo toch alleen hebt mag mogen
    """,
    "pl": """
    nie się jest na że do jak co po dla przez oraz to w z i jestem są był była było być mam masz ma mamy mogę
    może można chcę mnie mi ci ty ja on ona oni my wy mój moja moje twój twoja jego jej ich nasz ten ta te tego
    tej który która które gdzie kiedy dlaczego kto czy ale lub albo bez pod nad od bardzo wszystko wszyscy też
    tylko już jeszcze cześć dziękuję dzień dobry proszę tak nic nigdy zawsze napisz wyjaśnij daj powiedz ludzie
    dzisiaj o a u za we przy jakie streść trzech dwa trzy podaj szybki ile zostanie przetłumacz popraw poleć
    pomóż możesz czym jaki jaka jakiego ilu dużo mało każdy każda jutro wczoraj siebie swój zrób robić jesteś
    będzie będę przykład
    """,
    "sv": """
    och att det som en är på av för till den har inte med jag hur kan vad vem var varför när din mitt min ditt
    ni vi han hon de dem mig dig sig ett men eller om hej tack god morgon ja nej också mycket alla allt ingen
    inget skriv förklara ge bara från under mellan utan måste vill skulle i du ska blev varit mår vilken vilka
    ingenting sammanfatta två tre texten kostar många vilket översätt rätta hjälp hjälpa kunde borde brukar idag
    imorgon igår år bra dålig lite några någon eftersom medan därför
    """,
    "tr": """
    bir bu için ile çok olarak daha ve de da ne nasıl neden kim nerede ben sen biz siz onlar benim senin onun
    bana sana mi mı mu var yok değil gibi ama veya kadar sonra önce her şey bütün merhaba teşekkürler teşekkür
    günaydın lütfen evet hayır istiyorum yaz açıkla ver nedir olan bugün selam hoşça ki o en mü iyi güzel
    kelimesi demek neresidir zaman yapıldı iki üç dört altı ise kaç yap gösteren tablo çevir düzelt öner özetle
    yardım eder misin nasılsın kimdir kaçtır nedeni hangi hangisi oldu olur olmak yapmak yapabilirim gerek lazım
    biraz
    """,
    "id": """
    yang dan di ini itu dengan untuk tidak adalah pada dari saya kamu anda kami kita mereka dia apa bagaimana
    mengapa kenapa siapa mana bisa dapat akan sudah ada ke atau juga karena oleh tolong terima kasih halo
    selamat pagi siang malam ya tulis jelaskan cara membuat orang semua sangat lebih seperti aku nggak gak
    banget dalam lagi buat berapa jumlah sekali beri kapan jika tiga empat enam dua harganya dibangun cepat
    terjemahkan perbaiki sarankan ringkas bantu membantu siapakah manakah berapakah apakah besok kemarin hari
    tahun bagus baik kalau maka sedang telah
    """,
    "vi": """
    và là của có không tôi một cho được những này với các làm thế nào bạn trong để ở từ đã sẽ người khi hay gì
    sao tại ai rất cũng như xin chào cảm ơn viết giải thích hãy mình nó họ chúng em anh tớ khong duoc
    """,
}
# Languages in Latin letters that nobody here reads (and Hindi as chats write it); told, so that nobody says that they
# were read.
UNREAD: Mapping[str, str] = {
    "da": """
    og det er en til af på jeg ikke at som med for der den har de kan hvordan hvad hvor hvorfor mig dig din min
    et men eller meget fra var blev skal vil hej tak godmorgen også være efter noget nogen kun mere alle hun han
    sig
    """,
    "nb": """
    og det er en til av på jeg ikke å som med for den har de kan hvordan hva hvor hvorfor meg deg din min et men
    eller veldig fra var ble skal vil hei takk også være etter noe noen bare mer alle hun han seg dere
    """,
    "fi": """
    ja on ei se että mutta kun oli niin minä sinä miten mitä missä kiitos hei hyvää hän me te he tämä tuo ovat
    olen olet joka jos kuin vain myös sitä kuinka miksi voi voin haluan mikä kanssa ole sen nyt ihan hyvin mun
    sun en
    """,
    "hu": """
    és egy az hogy nem van mit hogyan köszönöm szia ez ezt is meg de volt csak el ki mi én te ő kell lehet mert
    vagy már még nagyon jó miért hol mikor szeretnék kérem igen minden ha be fel le azt lesz nekem való
    """,
    "ro": """
    și este pe cu nu un o sunt pentru din mai care ce cum sau la eu tu el ea noi voi mulțumesc bună să că de în
    ai au fost prin fi lui când unde cine foarte acest această vreau pot si ca sa nu-i
    """,
    "cs": """
    se na je že to jak co pro ale jsem jsi jsou mám můžu prosím děkuji ahoj dobrý den a v s z do i tak by byl
    byla ve jsme jste nebo jako když kde kdy proč kdo už ještě velmi jen mě ti mi který která než není
    """,
    "sk": """
    sa na je že to ako čo pre ale som si sú mám môžem prosím ďakujem ahoj dobrý deň a v s z do aj tak by bol
    bola vo sme ste alebo keď kde kedy prečo kto už ešte veľmi len ma ti mi ktorý ktorá nie
    """,
    "hr": """
    i je u na se da što za su od ne kako to sam si ali ili bio bila biti nije koji koja koje mi ti on ona mogu
    može zašto gdje gde kada tko ko hvala molim zdravo dobar dan jako samo više još već kao sa iz po ovo
    """,
    "sl": """
    in je da se na v za so ne kako kaj to sem si ali pa bil bila biti ni ki kdo kje kdaj zakaj hvala prosim
    dober dan lahko zelo samo več še že tudi kot iz po s z o te ta
    """,
    "et": """
    ja on ei see et kui oli mis kuidas ma sa ta me te nad aga või ka ning kus millal miks kes tere aitäh palun
    väga ainult rohkem veel siis minu sinu olen oled mida seda kõik
    """,
    "lv": """
    un ir ka es tu viņš viņa mēs jūs kā kas ko par no ar uz bet vai nav bija kur kad kāpēc lūdzu paldies sveiki
    ļoti tikai vairāk vēl jau to tas tā šis man
    """,
    "lt": """
    ir yra kad aš tu jis ji mes jūs kaip kas ką apie iš su į bet ar nėra buvo kur kada kodėl prašau ačiū labas
    labai tik daugiau dar jau tai šis man ne
    """,
    "sq": """
    dhe është në një që për me nuk të e si unë ti ai ajo ne ju ata por ose çfarë ku kur pse kush faleminderit
    përshëndetje shumë vetëm më ka kam janë nga do
    """,
    "ca": """
    el la els les de i que és un una per amb no en es al del com què jo tu ell ella nosaltres vosaltres però o
    on quan qui gràcies hola bon dia molt només més hi ha són està aquest aquesta vull puc fer meva
    """,
    "gl": """
    o a os as de e que é un unha por con non en ao do da como eu ti el ela nós vós pero ou onde cando quen
    grazas ola bos días moi só máis hai son está este esta quero podo facer
    """,
    "eu": """
    eta da ez bat du zer nola non noiz zergatik nor baina edo hau hori ere dut naiz zara dira egin eskerrik asko
    kaixo egun on oso nire zure dago ditu izan
    """,
    "af": """
    en die is nie van het 'n ek jy hy sy ons hulle met vir wat hoe waar wanneer hoekom wie maar of dankie hallo
    asseblief baie net meer nog al dit dat kan wil moet my jou se te om
    """,
    "is": """
    og að er í á ekki það sem til við ég þú hann hún þið þeir hvernig hvað hvar hvenær hver en eða takk halló
    mjög bara meira var eru með fyrir frá um
    """,
    "ga": """
    agus an na is tá ní go ar le do sé sí mé tú cad conas cá cén cathair ach nó dia duit raibh maith agat seo
    sin an-mhaith bhí leis
    """,
    "cy": """
    y yr a ac yn mae i o ar am ei eu fy dy beth sut ble pryd pam pwy ond neu diolch helo bore da iawn hefyd wedi
    oedd nid ddim chi fi
    """,
    "mt": """
    u li il ta' ma' f' b' hu hija jien int aħna mhux x'inhu kif fejn meta għaliex min imma jew grazzi bonġu
    ħafna biss iktar kien huma dan din
    """,
    "sw": """
    na ya wa kwa ni la za katika kuwa si mimi wewe yeye sisi nyinyi wao nini vipi wapi lini nani lakini au
    asante habari jambo tafadhali sana tu zaidi hii hiyo huu huyo jinsi gani ninawezaje kama yangu yako watu cha
    """,
    "tl": """
    ang ng sa na mga ay at hindi ako ikaw siya kami tayo sila ano paano saan kailan bakit sino pero o salamat
    kumusta magandang po lang din rin ito iyan iyon ko mo niya gusto kung para may
    """,
    "ha": """
    da a na ta ya ne ce ba ina kai shi ita mu ku su me yaya yaushe sa wa amma ko gode sannu don Allah sosai
    kawai wannan wanda cikin
    """,
    "yo": """
    ni ti àwọn kí sí fún ó jẹ́ mo ìwọ wọn kini báwo ibo nígbà tani ṣùgbọ́n tàbí ẹ ṣé bẹ́ẹ̀ pé náà nínú láti
    """,
    "zu": """
    futhi uma ukuthi ngoba mina wena yena thina nina bona ini kanjani kuphi nini ngani ubani kodwa noma
    ngiyabonga sawubona kakhulu kuphela lokhu lapho ngifuna ukuze kanye nge
    """,
    "so": """
    iyo waa in oo ka ku la aan aad isaga iyada waxaan maxaa sidee xaggee goorma ayo laakiin ama mahadsanid
    salaan u kaliya kan tan ah ayaa
    """,
    "rw": """
    na ni mu ku ya wa ko kandi ariko nde iki gute hehe ryari murakoze muraho cyane gusa uyu iyi ibi
    """,
    "mg": """
    ny sy dia amin'ny tsy izay ho an'ny fa aho ianao izy isika inona ahoana aiza rahoviana iza nefa na misaotra
    manao tokoa ihany ity ireo
    """,
    "ht": """
    ak nan pou ki yon li mwen ou nou yo pa se sa kisa kijan kote kilè poukisa kiyès men oswa mèsi bonjou anpil
    sèlman plis te ap
    """,
    "az": """
    və bir bu üçün ilə çox nə necə niyə kim harada mən sən biz siz onlar mənim sənin var yox deyil amma ya
    təşəkkür salam zəhmət bəli xeyr daha olan kimi
    """,
    "uz": """
    va bir bu uchun bilan juda nima qanday nega kim qayerda men sen biz siz ular mening sening bor yo'q emas
    lekin yoki rahmat salom iltimos ha ham edi kerak
    """,
    "ku": """
    û ku ji bo li bi di de ne ez tu ew em hûn çi çawa kengê çima kî lê an spas silav gelek tenê ev
    """,
    "eo": """
    kaj la de estas en ne mi vi li ŝi ni ili kio kiel kie kiam kial kiu sed aŭ dankon saluton tre nur pli ĉi tiu
    por kun al
    """,
    "la": """
    et in est non ad cum ut sed quod qui quae ex per si aut sunt esse quid quomodo ubi quando cur quis ego nos
    vos hic haec hoc enim atque
    """,
    "jv": """
    lan ing iku sing karo ora aku kowe dheweke kita apa piye endi kapan kenapa sapa nanging utawa matur nuwun
    banget wae luwih saka kanggo
    """,
    "hi": """
    hai hain ka ki ke ko se nahi nahin aur mujhe mein kya yeh woh tum aap hum kyun kaise kahan kab kaun kar raha
    rahi rahe tha thi ho hota karna sab bahut mat toh bhi koi apna apne unka uska iska liye wale wala kuch abhi
    """,
}
