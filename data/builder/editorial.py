"""The only hand-written part of the trivia: how well known a country is, what to leave out, and spelling variants.

No fact of a question stands here. A country is left out of a form where two sources, or the country itself, disagree
(several capitals, a moved capital, two continents, a currency being replaced, a disputed border).
"""

# Countries by how well known they are to an English reader: tier 1 first. Countries in no tier are not used at all:
# dependent territories, and states whose recognition or seat of government is disputed.
COUNTRY_TIERS = {
    1: (
        "US GB FR DE IT ES PT IE NL BE CH AT SE NO DK FI GR PL RU UA TR EG KE NG MA ET ZA IN CN JP KR KP TH VN ID PH "
        "PK BD IR IQ SA AU NZ CA MX BR AR CL PE CO CU JM HU CZ IS AF"
    ).split(),
    2: (
        "RO BG HR RS SK SI EE LV LT BY LU MT CY AL SY LB JO KW QA AE OM YE NP LK MM KH LA MN SG MY KZ UZ AM GE AZ TZ "
        "UG GH SN CM ZW ZM AO MZ MG DZ TN LY SD SO RW CD BO EC VE UY PY PA CR GT HN SV NI HT DO BS TT BB FJ PG MV"
    ).split(),
    3: (
        "MD BA MK ME KG TJ TM BT BN TL BH BF ML NE TD CF CG GA GQ CI LR SL GN GW GM TG BJ MR ER DJ SS BI MW NA BW LS "
        "SZ CV MU SC KM GY SR BZ"
    ).split(),
    4: "FM MH VU SB TO WS LC VC KN AG DM GD AD LI SM MC ST TV".split(),
}

# Written with "the" inside a sentence.
WITH_ARTICLE = frozenset("US GB NL PH AE BS MV GM CD CG CF CZ DO KM SB MH SC".split())

COUNTRY_NAMES = {"NL": "Netherlands", "CD": "Democratic Republic of the Congo", "CZ": "Czech Republic"}

COUNTRY_ALIASES = {
    "US": ["USA", "U.S.", "US", "United States of America", "America"],
    "GB": ["UK", "U.K.", "Great Britain", "Britain"],
    "NL": ["Holland"],
    "AE": ["UAE"],
    "KR": ["Republic of Korea", "Korea, South"],
    "KP": ["Democratic People's Republic of Korea", "DPRK"],
    "RU": ["Russian Federation"],
    "CN": ["People's Republic of China", "PRC"],
    "CZ": ["Czechia"],
    "CI": ["Cote d'Ivoire"],
    "CD": ["DR Congo", "DRC", "Congo-Kinshasa", "Democratic Republic of Congo"],
    "CG": ["Congo-Brazzaville", "Congo Republic"],
    "MM": ["Burma"],
    "CV": ["Cape Verde"],
    "SZ": ["Swaziland"],
    "TL": ["East Timor", "Timor-Leste"],
    "VN": ["Viet Nam"],
    "BA": ["Bosnia"],
    "MK": ["Macedonia"],
    "TR": ["Turkiye"],
    "BN": ["Brunei Darussalam"],
    "SY": ["Syrian Arab Republic"],
    "LA": ["Lao PDR"],
    "CF": ["CAR"],
    "FM": ["Federated States of Micronesia"],
    "TT": ["Trinidad"],
}

CAPITAL_ALIASES = {
    "US": ["Washington DC", "Washington D.C.", "Washington, D.C.", "Washington, DC"],
    "UA": ["Kiev"],
    "MN": ["Ulan Bator"],
    "MM": ["Naypyidaw"],
    "CH": ["Berne"],
    "TD": ["Ndjamena"],
    "MX": ["Ciudad de Mexico"],
    "KW": ["Kuwait"],
    "GT": ["Guatemala"],
    "PA": ["Panama"],
    "QA": ["Ad Dawhah"],
    "MV": ["Malé"],
}

# Several capitals, a seat of government elsewhere, a capital being moved, or a package that lags behind.
NO_CAPITAL = frozenset("ZA BO LK BJ CI TZ MY SZ BI GQ KZ ID YE".split())
# On two continents, or counted to either one.
NO_CONTINENT = frozenset("TR RU KZ GE AM AZ CY".split())
# A second legal tender, a recent or coming change, or a name that changed.
NO_CURRENCY = frozenset("BG CU VE ZW SL MR ST SV LB SY TL HT PA LS SS LR BT NA".split())
# The sources' single official language is not the whole story.
NO_LANGUAGE = frozenset("ZA AU NZ ML NE BF GA TG US IQ ET MK".split())
# Disputed land borders, or a border that is only a bridge, a base or an overseas territory.
NO_BORDER = frozenset("MA ES GB US CU CY AM AZ GE RU UA IN PK CN SY JO EG SD RS SA".split())
# City records with a disputed status, or that are a district, a province or a merged part of another city.
NO_CITY_TIMEZONES = frozenset(["Europe/Simferopol"])
NO_CITY_NAMES = frozenset(
    "Donetsk Luhansk Srinagar Jammu Hargeysa Sukhumi Sokhumi Makiyivka Horlivka Mariupol Pudong Puxi Wuzhong Famagusta "
    "Pest Buda Takeo Manhattan Brooklyn Queens Laayoune Melilla Ceuta Tiraspol Manas Borama Berbera Harlem".split()
) | frozenset(
    ["South Dublin", "Spokane Valley", "Magugpo Poblacion", "Mueang Nonthaburi", "Al Aḩmadī", "Ḩawallī", "Navi Mumbai"]
)
CITY_ALIASES = {"New York City": ["New York"], "Ho Chi Minh City": ["Saigon"]}
# English spellings for records that GeoNames files under the local one.
CITY_NAMES = {
    "Köln": "Cologne",
    "Gent": "Ghent",
    "Brugge": "Bruges",
    "Luzern": "Lucerne",
    "Sevilla": "Seville",
    "Århus": "Aarhus",
    "Irákleion": "Heraklion",
    "Xi’an": "Xi'an",
    "Makkah": "Mecca",
    "Madinah": "Medina",
    "Basrah": "Basra",
    "Nizhniy Novgorod": "Nizhny Novgorod",
    "Zaporizhzhya": "Zaporizhzhia",
    "Kryvyy Rih": "Kryvyi Rih",
    "Vinnytsya": "Vinnytsia",
    "Homyel'": "Gomel",
    "Al Ain City": "Al Ain",
}

# Elements by how well known they are; all others are tier 3, and tier 4 from atomic number 99 on.
COMMON_ELEMENTS = (
    "hydrogen helium lithium carbon nitrogen oxygen fluorine neon sodium magnesium aluminum silicon phosphorus sulfur "
    "chlorine potassium calcium iron nickel copper zinc silver tin iodine gold mercury lead uranium"
).split()
KNOWN_ELEMENTS = (
    "beryllium boron argon titanium chromium manganese cobalt gallium arsenic selenium bromine krypton zirconium "
    "palladium cadmium xenon cesium barium tungsten platinum bismuth radon radium thorium plutonium einsteinium"
).split()
ELEMENT_ALIASES = {"aluminum": ["Aluminium"], "cesium": ["Caesium"], "sulfur": ["Sulphur"], "tungsten": ["Wolfram"]}

# Languages written in the Latin script, by how many English readers have met them.
LANGUAGE_TIERS = {
    1: "es fr de it".split(),
    2: "pt nl sv da pl fi tr".split(),
    3: "nb cs ro hu hr sk id is".split(),
    4: "et lv lt sl ca af cy sq".split(),
}
LANGUAGE_NAMES = {"nb": "Norwegian", "bn": "Bengali"}
LANGUAGE_ALIASES = {
    "zh": ["Mandarin", "Mandarin Chinese"],
    "fa": ["Farsi"],
    "nb": ["Norwegian Bokmal"],
    "nl": ["Flemish"],
    "es": ["Castilian"],
    "ms": ["Malaysian", "Bahasa Malaysia"],
    "id": ["Bahasa Indonesia"],
    "km": ["Cambodian"],
    "bn": ["Bangla"],
    "dv": ["Dhivehi"],
    "si": ["Sinhalese"],
}
