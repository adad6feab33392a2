"""Units of measure and words for how often, French and English, with their scales."""

from collections.abc import Mapping
from fractions import Fraction

_MASS: dict[str, int | str] = {"kg": 1000, "g": 1, "mg": "1/1000", "ug": "1/1000000", "ng": "1/1000000000"}
_VOLUME: dict[str, int | str] = {"l": 1000, "dl": 100, "cl": 10, "ml": 1}
_TIME: dict[str, int | str] = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_MONTHS: dict[str, int | str] = {"mo": 1, "quarter": 3, "half": 6, "y": 12}
_LENGTH: dict[str, int | str] = {"mm": 1, "cm": 10, "m": 1000, "km": 1000000}
_AMOUNT: dict[str, int | str] = {"mol": 1, "mmol": "1/1000", "umol": "1/1000000"}
SCALES: Mapping[str, tuple[str, Fraction]] = {
    unit: (dimension, Fraction(factor))
    for dimension, table in (
        ("mass", _MASS), ("volume", _VOLUME), ("time", _TIME), ("months", _MONTHS), ("length", _LENGTH),
        ("mol", _AMOUNT),
    )
    for unit, factor in table.items()
}  # fmt: skip
_UNIT_WORDS = {
    "kg": "kg kilo kilos kilogram kilograms kilogramme kilogrammes",
    "g": "g gram grams gramme grammes gr",
    "mg": "mg milligram milligrams milligramme milligrammes",
    "ug": "ug mcg microgram micrograms microgramme microgrammes",
    "ng": "ng nanogram nanograms nanogramme nanogrammes",
    "l": "l litre litres liter liters",
    "dl": "dl decilitre decilitres",
    "cl": "cl centilitre centilitres",
    "ml": "ml millilitre millilitres milliliter milliliters cc",
    "s": "s sec secs second seconds seconde secondes",
    "min": "min mins minute minutes mn",
    "h": "h hr hrs hour hours heure heures",
    "d": "d j day days jour jours journee journees",
    "w": "w wk wks week weeks semaine semaines sem",
    "fortnight": "fortnight fortnights quinzaine",
    "mo": "mo month months mois",
    "quarter": "trimestre trimestres trimester trimesters",
    "half": "semestre semestres",
    "y": "y yr yrs year years an ans annee annees",
    "decade": "decade decades decennie decennies",
    "mm": "mm", "cm": "cm centimetre centimetres", "m": "m metre metres", "km": "km kilometre kilometres",
    "mol": "mol", "mmol": "mmol mmoles", "umol": "umol",
    "meq": "meq", "iu": "iu ui", "mmhg": "mmhg", "kcal": "kcal kilocalories calories", "°c": "°c degres degrees",
    "%": "% percent percents pourcent", "€": "€ euro euros eur", "$": "$ dollar dollars usd",
    "x": "fois times time x",
}  # fmt: skip
UNITS = {word: unit for unit, words in _UNIT_WORDS.items() for word in words.split()}
LETTER_UNITS = {"g", "l", "s", "h", "d", "j", "w", "m", "y", "x", "mo", "mn", "gr", "sem", "an"}
ADVERBS = {  # one word that says how often: (times, unit)
    **dict.fromkeys(("hourly",), (1, "h")),
    **dict.fromkeys(("daily", "quotidien", "quotidienne", "quotidiens", "quotidiennes", "quotidiennement"), (1, "d")),
    **dict.fromkeys(("qd", "od"), (1, "d")),
    **dict.fromkeys(("bid", "bd"), (2, "d")),
    **dict.fromkeys(("tid", "tds"), (3, "d")),
    **dict.fromkeys(("qid", "qds"), (4, "d")),
    **dict.fromkeys(("weekly", "hebdomadaire", "hebdomadaires"), (1, "w")),
    **dict.fromkeys(("fortnightly", "bimensuel", "bimensuelle"), (1, "fortnight")),
    **dict.fromkeys(("monthly", "mensuel", "mensuelle", "mensuels", "mensuelles", "mensuellement"), (1, "mo")),
    **dict.fromkeys(("quarterly", "trimestriel", "trimestrielle"), (1, "quarter")),
    **dict.fromkeys(("semestriel", "semestrielle", "biannual", "biannually"), (1, "half")),
    **dict.fromkeys(("annual", "annually", "yearly", "annuel", "annuelle", "annuels", "annuelles"), (1, "y")),
}
