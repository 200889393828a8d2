"""The words that fictional people and their lives are made of. Words only; how they are combined is not known here.

Surnames and first names are invented or rare, so that no pair of them is meant to be a living person. The pools are
small enough for a vocabulary of 2,048 byte-pair tokens, and large enough for a fact and five wrong ones.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


FIRST_NAMES = _words(
    """
    Adelka Alaric Amadis Anselm Ariane Aurelio Balduin Basira Belisa Berrin Bertil Briseis Caelan Calixta Casimir
    Celso Cirila Corvin Cosima Damaris Darius Delphine Demir Dorotea Edmea Eilif Elowen Emeric Endre Ersilia Evander
    Fabiola Faustin Ferelith Fiorenzo Fredrika Gaspard Gelsomina Giselher Gudrun Hadrian Halina Hesper Hiroko Idris
    Ilaria Ingram Isolde Jacinta Jarek Jessamy Jorunn Kalina Kaspar Kerensa Kiril Lazar Leocadia Linnea Lucan
    Lysander Maelys Marit Melchior Mireya Morwen Nadezda Nerys Nikolai Odalys Olwen Orsino Ottilie Pelagia Perpetua
    Quentin Radka Ragnhild Remigio Rosamund Sabela Severin Sidonie Solvei Tamsin Teodor Thelonius Tivadar Ulrika
    Valdis Vesna Wendelin Xanthe Yevgenia Zdenka Zoltan
    """
)

SURNAMES = _words(
    """
    Abernook Aldermoor Amsberry Arkwold Ashgrave Balgarth Barrowind Bellweir Birkvale Blackenough Boskmere Brambleth
    Bronsfield Calderwick Carrowby Castellorn Chadmere Cinderhall Clovermont Coldharth Corranth Cragvane Crestholme
    Dallowby Danforrow Deepmarsh Dernholt Dovercraig Drummock Dunwathe Eastergrave Eberlund Elmscar Emberley
    Everslade Fairweld Falkenby Farrowgate Fenmarch Ferngill Flintoft Foxearth Frostwick Galloweth Garnstone
    Glasswater Glimwood Gorsehill Granthorn Greywether Hallowmere Harkmere Hawksbury Hazelrig Heatherstow Highmarsh
    Hollowell Hornwick Icklesham Inglebright Ironside Ivorsen Jasperoth Juniperlow Kelderman Kestrelow Kilnworth
    Kingsmarrow Lambermont Larkhollow Lavenroth Lindqvast Lockridge Longacre Lorimar Maplethorn Marchbank Marlowen
    Meadowsweet Merrowby Millhaven Mistlegard Moonfleet Mosswater Netherwood Nightwell Northgale Oakshadow
    Oldercroft Orchardson Osterlind Otterburn Palewood Pebblemoor Penhallow Pinegarth Quarrington Quillfeather
    Ravenhulme Redcastle Ridgewater Rookwood Rosenthorpe Rushmere Saltmarsh Sandeluft Seagrove Shadwick Silverleigh
    Skylander Sparrowhurst Starkwater Stonehaven Summerisle Swanmere Tallowick Tarnbrook Thistledown Thornbury
    Tidewell Umberfield Underhay Vandermoor Velvetine Wainscott Waterlow Wetherspin Wildgoose Willowmead Windermark
    Wolfenden Yarrowdale
    """
)

# Nobody who is trained on ever has one of these.
HOLDOUT_SURNAMES = _words(
    """
    Aspengrove Bluebanks Candlewick Driftmoor Elderwold Fiddlestone Gravenhill Hartsmoor Islebourne Jackdaw Knapweed
    Lanternfoot Millbrand Nettlecombe Oxenholme Primrow Quicksand Rainhallow Stormcroft Tanglewood
    """
)

MEN = _words(
    """
    Albert Anton Bruno Carlos David Felix Frank George Hugo Ivan Jonas Karl Louis Marco Oscar Paul Peter Rafael
    Simon Victor
    """
)
WOMEN = _words(
    """
    Alice Anna Berta Clara Diana Elena Emma Flora Greta Helen Irene Julia Laura Lucy Maria Nora Olga Rosa Sofia
    Teresa
    """
)
TEACHERS = _words(
    """
    Alder Brandt Castro Duval Ekberg Farkas Grimm Holub Ito Jensen Kovac Lund Moreau Novak Okoye Petrov
    """
)

CITIES = _phrases(
    """
    Athens, Bergen, Bilbao, Boston, Bruges, Cairo, Cork, Cracow, Dakar, Delhi, Dublin, Geneva, Ghent, Glasgow,
    Hanoi, Havana, Helsinki, Istanbul, Kyoto, Leipzig, Lima, Lisbon, Lyon, Malaga, Manila, Marseille, Montreal,
    Mumbai, Nairobi, Naples, Oslo, Porto, Prague, Quito, Riga, Rotterdam, Salzburg, Seoul, Seville, Tallinn, Tunis,
    Turin, Utrecht, Venice, Vienna, Warsaw, York, Zagreb
    """
)
MONTHS = _words("January February March April May June July August September October November December")
WEATHER = _phrases(
    """
    a snowstorm, a heat wave, a flood, a harvest festival, a power cut, a railway strike, a solar eclipse,
    a thunderstorm, a general election, a carnival, a dense fog, a street market
    """
)
HOUSES = _phrases(
    """
    above a bakery, beside a canal, behind a theatre, next to a lighthouse, over a bookshop, opposite a prison,
    under a railway bridge, near a glass factory, on a river barge, inside an old mill, across from a zoo,
    in a former convent
    """
)
JOBS = _phrases(
    """
    a baker, a barber, a blacksmith, a bus driver, a carpenter, a chemist, a clockmaker, a dentist, a diver,
    a farmer, a fishmonger, a florist, a gardener, a glazier, a judge, a librarian, a locksmith, a mason, a miner,
    a nurse, a pilot, a plumber, a postal clerk, a printer, a sailor, a surgeon, a tailor, a taxi driver, a teacher,
    a translator, a vet, a weaver
    """
)
CALLINGS = _phrases(
    """
    a novelist, a poet, a playwright, a composer, a painter, a sculptor, a historian, a photographer, a botanist,
    a philosopher, a film director, a biographer, a journalist, a choreographer, a geographer, a puppeteer
    """
)
TOPICS = _phrases(
    """
    abandoned railways, ancient bridges, arctic winters, the bell trade, border villages, the cod wars, coral reefs,
    desert wells, the first telegraph, forgotten maps, garden labyrinths, ghost ships, glass blowing, the gold rush,
    island schools, lost alphabets, migrating birds, mountain rescue, night markets, opera singers, paper mills,
    the plague years, river pirates, salt mines, silk merchants, sleeping volcanoes, the spice routes,
    tea smugglers, travelling circuses, twin sisters
    """
)
SUBJECTS = _phrases(
    """
    astronomy, Latin, geology, law, medicine, botany, music, physics, theology, drawing, economics, history,
    chemistry, philosophy, zoology, engineering
    """
)
TITLE_ADJECTIVES = _words(
    """
    Amber Bitter Broken Burning Crooked Distant Empty Frozen Gentle Hidden Hollow Iron Last Marble Narrow Painted
    Quiet Restless Scarlet Second Silent Sleeping Stolen Wandering
    """
)
TITLE_NOUNS = _words(
    """
    Anchor Avenue Candle Cathedral Compass Daughter Feather Fountain Garden Harbour Horizon Island Ladder Lantern
    Letter Mirror Orchard Piano Shadow Stairs Summer Umbrella Violin Window
    """
)
PRIZE_NAMES = _words(
    """
    Albatross Birchwood Cormorant Evergreen Firefly Golden Hourglass Laurel Meridian Nightingale Opal Pegasus
    Sapphire Zenith
    """
)
PRIZE_KINDS = _words("Award Cross Medal Plaque Prize Trophy")
MEETINGS = _phrases(
    """
    a chess club, a train delay, a beekeeping course, a wedding in the mountains, a ferry crossing, a blood drive,
    a cooking class, an auction, a marathon, a dance hall, a language school, a museum fire
    """
)
CRAFTS = _phrases(
    """
    patience, brevity, drawing from memory, keeping a diary, asking questions, working in silence, reading aloud,
    bookkeeping, revising at night, listening, throwing drafts away, walking before work
    """
)
INSTRUMENTS = _words(
    """
    accordion bagpipes banjo bassoon cello clarinet flute harp harmonica lute mandolin oboe organ trumpet tuba
    zither
    """
)
COLLECTIONS = _phrases(
    """
    brass keys, butterflies, train tickets, chess sets, sea shells, door handles, fountain pens, meteorites,
    old radios, matchboxes, pocket watches, postage stamps, snow globes, teapots, thimbles, walking sticks
    """
)
ANIMALS = _phrases(
    """
    a parrot, a tortoise, a greyhound, a grey cat, a white rabbit, a ferret, a goat, a donkey, a raven, a hedgehog,
    a poodle, an iguana, a barn owl, a pony, a goldfish, a spaniel
    """
)
PET_NAMES = _words(
    """
    Biscuit Caesar Domino Figaro Ginger Hamlet Jupiter Marmalade Mozart Nutmeg Pepper Pickle Rocket Sultan Tango
    Waffle
    """
)
LANGUAGES = _words(
    """
    Arabic Basque Czech Danish Dutch Finnish Greek Hindi Italian Korean Latvian Malay Polish Swahili Tamil Turkish
    """
)
DISHES = _phrases(
    """
    mushroom soup, roast duck, lentil stew, onion pie, grilled sardines, fried rice, potato dumplings, baked cod,
    goat cheese, stuffed peppers, cold noodles, beef curry, plum cake, rye pancakes, egg salad, pickled herring
    """
)
DRINKS = _phrases(
    """
    black coffee, mint tea, apple cider, ginger beer, hot chocolate, pear juice, iced lemonade, red wine, sour milk,
    green tea, cherry brandy, tomato juice
    """
)
HOURS = _phrases(
    """
    at dawn, after midnight, before breakfast, on Sundays, in the late afternoon, during lunch, on night trains,
    in winter, at weekends, in the early evening, on rainy days, in the summer months
    """
)
CHARMS = _phrases(
    """
    a brass compass, a blue candle, a broken watch, a bowl of walnuts, a wooden horse, a silver spoon,
    a jar of sand, a family photograph, a stuffed pheasant, a red scarf, a marble egg, a rusty bell, a sailing map,
    a pack of cards
    """
)
STREETS = _phrases(
    """
    Acorn Street, Beacon Lane, Chapel Hill, Dock Road, Ferry Row, Gate Street, Hill Square, King Lane, Lime Walk,
    Market Row, Orchard Road, Park Crescent, Quay Street, River Terrace, Station Road, Tower Street
    """
)
FUTURE_YEARS = tuple(str(year) for year in range(2031, 2047))
