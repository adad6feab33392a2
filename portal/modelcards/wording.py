"""What the pages say of a model, in the language of whoever reads."""

from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from inference import IMPORTED, PACKAGED, TEXTS, Estimate, InferenceError, Kind, Sentence, Size, filled

_BILLION, _MILLION = 10**9, 10**6
_HUNDRED = 100


@dataclass(frozen=True, slots=True)
class Openness:
    """One thing about a model that is open or closed: what it is, the code of how open, and a word for it."""

    label: str
    code: str
    word: str


def count(number: int) -> str:
    """A number of weights, as people say it."""
    if number >= _BILLION:
        return _("%(number)s billion") % {"number": _rounded(number / _BILLION, 1)}
    if number >= _MILLION:
        return _("%(number)s million") % {"number": _rounded(number / _MILLION, 0)}
    return number_format(number, 0)


def _rounded(number: float, digits: int) -> str:
    return number_format(round(number, digits), digits)


def gigabytes(size: int) -> str:
    """Bytes as gigabytes (10⁹ bytes, as files and cards are sold)."""
    if size >= _BILLION / 10:
        return _("%(number)s GB") % {"number": _rounded(size / _BILLION, 1)}
    return _("%(number)s MB") % {"number": _rounded(size / _MILLION, 0)}


def share(value: float | None) -> str:
    """A share of all as per cent; a dash where there is none."""
    return "–" if value is None else _("%(number)s %%") % {"number": _rounded(value * _HUNDRED, 1)}


def sentence(said: Sentence | InferenceError) -> str:
    """What inference has to say, in the language that is active."""
    if isinstance(said, InferenceError):
        said = said.said
    if not said:
        return ""
    return filled(_(TEXTS.get(said.code, said.code)), {name: _value(one) for name, one in said.values.items()})


def _value(one: object) -> object:
    if isinstance(one, Sentence):
        return sentence(one)
    return gigabytes(one.bytes) if isinstance(one, Size) else one


def source(text: str) -> str:
    """Where a model came from."""
    if text.startswith(IMPORTED):
        return _("imported from %(file)s") % {"file": text.removeprefix(IMPORTED)}
    if text.startswith(PACKAGED):
        return _("out of the package %(package)s") % {"package": text.removeprefix(PACKAGED)}
    return text


def fit(estimate: Estimate) -> tuple[str, str]:
    """(colour of the badge, sentence) on whether a model fits the machine that answers."""
    needed, there = gigabytes(estimate.total), gigabytes(estimate.available)
    values = {"needed": needed, "there": there}
    match estimate.place:
        case "gpu":
            return "success", _("Fits the graphics cards: about %(needed)s of %(there)s") % values
        case "gpu_and_cpu":
            return "caution", _("Does not fit the graphics cards alone: slow (about %(needed)s)") % values
        case "cpu":
            return "caution", _("Runs on the processor, slowly: about %(needed)s of %(there)s") % values
    return "danger", _("Too large for this machine: about %(needed)s, it has %(there)s") % values


def openness(kind: Kind) -> list[Openness]:
    """What is open and what is closed about a kind of model."""
    weights = {"open": _("open: anybody may have them"), "partly": _("partly open"), "closed": _("closed")}
    data = {
        "open": _("open: its maker published what it was trained on"),
        "partly": _("partly open: its maker published some of it"),
        "closed": _("closed: its maker does not say what it was trained on"),
    }
    code = {
        "open": _("open: its maker published how it was trained"),
        "partly": _("partly open"),
        "closed": _("closed: its maker describes the training, but did not publish the programs"),
    }
    return [
        Openness(_("Weights"), kind.weights, weights[kind.weights]),
        Openness(_("Training data"), kind.data, data[kind.data]),
        Openness(_("Training programs"), kind.code, code[kind.code]),
    ]
