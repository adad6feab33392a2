"""How fast Havre answers: the whole path beside the bare engine and llama.cpp's own server, in one run.

`measure` starts a throw-away installation and asks it as browsers do; `manage.py bench` prints what it returns.
"""

from portal.benchmark._measuring import Wanted, measure
from portal.benchmark._report import picture, tables
from portal.benchmark._roles import ROLES, answer_lines

__all__ = ["ROLES", "Wanted", "answer_lines", "measure", "picture", "tables"]
