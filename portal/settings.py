"""Settings of a Havre installation.

Everything a facility may change comes from the environment, with the prefix HAVRE_; every setting has a default that
works on a workstation with nothing else installed, and `portal.checks` complains about those that will not do in
production. A secret may also come from a file: HAVRE_SECRET_KEY_FILE, HAVRE_DATABASE_PASSWORD_FILE.
"""

import hashlib
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent


def _env(name: str, default: str = "") -> str:
    """The value of HAVRE_<name>, or what stands in the file that HAVRE_<name>_FILE points to."""
    file = os.environ.get(f"HAVRE_{name}_FILE")
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"HAVRE_{name}_FILE: {file} cannot be read ({error.strerror}).") from error
    return os.environ.get(f"HAVRE_{name}", default)


def _env_flag(name: str, default: bool = False) -> bool:
    value = _env(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
        raise ImproperlyConfigured(f"HAVRE_{name} must be 1 or 0, not {value!r}.")
    return value in {"1", "true", "yes", "on"}


def _env_int(name: str, default: int, least: int = 0) -> int:
    value = _env(name, str(default))
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"HAVRE_{name} must be a whole number, not {value!r}.") from error
    if number < least:
        raise ImproperlyConfigured(f"HAVRE_{name} must be at least {least}.")
    return number


def _env_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _env(name, default).lower()
    if value not in choices:
        raise ImproperlyConfigured(f"HAVRE_{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def _env_shares(name: str) -> tuple[float, ...]:
    """Numbers with commas; none by default."""
    value = _env(name)
    try:
        return tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ImproperlyConfigured(f"HAVRE_{name} must be numbers with commas, such as 1,1; not {value!r}.") from error


def _env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in _env(name, default).split(",") if part.strip()]


# --- the data folder ---------------------------------------------------------------------------------------------

HAVRE_DATA_DIR = Path(_env("DATA_DIR", str(BASE_DIR / "data"))).expanduser().absolute()
try:
    HAVRE_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"The data folder {HAVRE_DATA_DIR} cannot be created ({error.strerror}). "
        "Choose another with --data-dir or HAVRE_DATA_DIR."
    ) from error


def _secret_key() -> str:
    """The key from the environment, or one that this installation made for itself and keeps in its data folder."""
    if given := _env("SECRET_KEY"):
        return given
    path = HAVRE_DATA_DIR / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {HAVRE_DATA_DIR} cannot be written ({error.strerror}). "
            "Choose another with --data-dir or HAVRE_DATA_DIR."
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key := secrets.token_urlsafe(64))
    return key


SECRET_KEY = _secret_key()
# Seals the keys of conversations. Whoever has it and the database reads what was sealed: they belong in two places.
HAVRE_MASTER_KEY_FILE = Path(_env("MASTER_KEY_FILE", str(HAVRE_DATA_DIR / "keys" / "master.key"))).expanduser()
HAVRE_AUDIT_KEY_FILE = Path(_env("AUDIT_KEY_FILE", str(HAVRE_DATA_DIR / "keys" / "audit.key"))).expanduser()
DEBUG = _env_flag("DEBUG")
HAVRE_HTTPS = _env_flag("HTTPS")

ALLOWED_HOSTS = _env_list("HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if host != "*"] if HAVRE_HTTPS else []

INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "knowledge",
    "portal",
    "portal.audit",
    "portal.accounts",
    "portal.safeguards",
    "portal.guidelines",
    "portal.chat",
    "portal.modelcards",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "portal.connections.break_off_silence",
    "portal.access.keep_out_of_caches",
    "portal.unwritable.SayThatNothingIsRecorded",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "portal.context.installation",
            ]
        },
    }
]

# --- database ----------------------------------------------------------------------------------------------------

HAVRE_DATABASE_URL = _env("DATABASE_URL", f"sqlite:///{HAVRE_DATA_DIR / 'havre.sqlite3'}")
_database: dict[str, Any] = dict(dj_database_url.parse(HAVRE_DATABASE_URL))
if password := _env("DATABASE_PASSWORD"):
    _database["PASSWORD"] = password
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # writers queue up instead of failing half-way with "database is locked"
        "timeout": 10,
        # FULL: what was shown has its record also after the power failed a moment later
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON; "
        "PRAGMA secure_delete=ON;",  # what was deleted is written over: a key that was erased, words from before
    }
else:
    _database["CONN_HEALTH_CHECKS"] = True
    # The audit trail has one row that all writers lock: nobody waits for it long, and nobody keeps it in his sleep.
    _database.setdefault("OPTIONS", {})["options"] = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
DATABASES = {"default": _database}
HAVRE_CONNECTION_SECONDS = 60  # how long a thread of a worker, or one that serves sockets, keeps its connection

# --- Valkey: broker, channel layer, turn streams -----------------------------------------------------------------


def _socket_path() -> Path:
    """Where the embedded Valkey listens: in the data folder, or, where that path is too long for a unix socket
    (107 bytes on Linux), in a folder of this user's below the system's temporary folder."""
    path = HAVRE_DATA_DIR / "run" / "valkey.sock"
    if len(str(path).encode()) <= 100:
        return path
    digest = hashlib.sha256(str(HAVRE_DATA_DIR).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"havre-{os.getuid()}-{digest}" / "valkey.sock"


HAVRE_VALKEY_SOCKET = _socket_path()
HAVRE_REDIS_URL = _env("REDIS_URL", f"unix://{HAVRE_VALKEY_SOCKET}")
_broker_url = HAVRE_REDIS_URL.replace("unix://", "redis+socket://", 1)

CHANNEL_LAYERS = {"default": {"BACKEND": "portal.layer.PatientChannelLayer", "CONFIG": {"hosts": [HAVRE_REDIS_URL]}}}

CELERY_BROKER_URL = _broker_url
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "housekeeping"
CELERY_TASK_ROUTES = {
    "portal.chat.tasks.generate_answer": {"queue": "inference"},
    "portal.modelcards.tasks.*": {"queue": "inference"},
    "portal.chat.tasks.retrieve_passages": {"queue": "knowledge"},
    "portal.chat.tasks.quote_answer": {"queue": "knowledge"},
    "portal.guidelines.tasks.bring_up_to_date": {"queue": "housekeeping"},  # never behind an ingestion
    "portal.guidelines.tasks.*": {"queue": "knowledge"},
    "portal.safeguards.tasks.*": {"queue": "knowledge"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True  # a busy worker leaves turns to an idle one
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 2}
# The database row of a turn is the truth and `recover_turns` brings lost work back, so publishing does not wait.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_DB_REUSE_MAX = sys.maxsize  # Celery's own way would open a connection for each task: see portal.connections
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"


def _each(seconds: float, task: str) -> dict[str, object]:
    """A tick of the clock. It expires: a night without workers must not leave thousands of them."""
    return {"task": task, "schedule": seconds, "options": {"expires": int(seconds)}}


def _each_night(hour: int, minute: int, task: str) -> dict[str, object]:
    return {"task": task, "schedule": crontab(hour=hour, minute=minute), "options": {"expires": 3600}}


CELERY_BEAT_SCHEDULE = {
    "seal-audit-trail": _each(60.0, "portal.audit.tasks.seal_minute"),
    "look-after-exports": _each(60.0, "portal.audit.exporting.tasks.look_after_exports"),
    "fill-index-of-audit-trail": _each(60.0, "portal.audit.exporting.tasks.fill_index"),
    "compare-index-of-audit-trail": _each_night(2, 20, "portal.audit.exporting.tasks.compare_index"),
    "verify-audit-trail": _each_night(3, 20, "portal.audit.tasks.verify"),
    "forget-expired-sessions": _each_night(3, 50, "portal.accounts.tasks.forget_expired_sessions"),
    "erase-what-was-kept-long-enough": _each_night(4, 10, "portal.chat.tasks.retain"),
    "carry-out-erasures": _each(60.0, "portal.chat.tasks.carry_out_erasures"),
    "forget-erased-streams": _each(60.0, "portal.chat.tasks.forget_erased_streams"),
    "recover-turns": _each(10.0, "portal.chat.tasks.recover_turns"),
    "write-down-cards": _each(10.0, "portal.chat.tasks.write_down_cards"),
    "ingest-pending": _each(60.0, "portal.guidelines.tasks.ingest_pending"),
    "bring-guidelines-up-to-date": _each(60.0, "portal.guidelines.tasks.bring_up_to_date"),
    "look-into-watched-folder": _each(60.0, "portal.guidelines.tasks.look_into_folder"),
    "look-after-test-bench": _each(60.0, "portal.guidelines.tasks.look_after_bench"),
    "look-after-index": _each(60.0, "portal.guidelines.tasks.look_after_index"),
    "verify-index": _each_night(2, 40, "portal.guidelines.tasks.verify_index"),
    "test-drafts": _each(60.0, "portal.safeguards.tasks.run_tests"),
    "look-after-released-rules": _each(60.0, "portal.safeguards.tasks.look_after_files"),
}

# Sent elsewhere only where somebody says where to: checkpoints of the audit trail, and all events of it.
HAVRE_AUDIT_PUSH_FOLDER = _env("AUDIT_PUSH_FOLDER")
HAVRE_AUDIT_SYSLOG = _env("AUDIT_SYSLOG")  # tcp+tls://host:port, tcp://host:port or udp://host:port
HAVRE_AUDIT_SYSLOG_CA = _env("AUDIT_SYSLOG_CA")
HAVRE_AUDIT_SYSLOG_EVENTS = _env_flag("AUDIT_SYSLOG_EVENTS")
HAVRE_AUDIT_SYSLOG_NAMES = _env_flag("AUDIT_SYSLOG_NAMES")
if HAVRE_AUDIT_PUSH_FOLDER or HAVRE_AUDIT_SYSLOG:
    CELERY_BEAT_SCHEDULE["push-audit-trail"] = _each(5.0, "portal.audit.tasks.push")

# How long things are kept, in days; 0: for ever. docs/compliance.md says why so long.
HAVRE_KEEP_CONVERSATIONS_DAYS = _env_int("KEEP_CONVERSATIONS_DAYS", 365)  # after the last use
HAVRE_KEEP_NAMES_DAYS = _env_int("KEEP_NAMES_DAYS", 365)  # of people whose account is closed

# --- people ------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = _env_int("SESSION_HOURS", 12, least=1) * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HAVRE_HTTPS
HAVRE_LOGIN_FAILURES = _env_int("LOGIN_FAILURES", 8, least=1)
HAVRE_LOGIN_LOCK_SECONDS = _env_int("LOGIN_LOCK_SECONDS", 300)

# --- browser security --------------------------------------------------------------------------------------------

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
if HAVRE_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- language, time, static files --------------------------------------------------------------------------------

LANGUAGE_CODE = _env("LANGUAGE", "en")
LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
TIME_ZONE = _env("TIME_ZONE", "Europe/Paris")
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic: the files lie in portal/static
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_MAX_AGE = 60

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
HAVRE_PAGE_CACHE_MB = _env_int("PAGE_CACHE_MB", 200, least=1)  # pictures of pages, kept in the data folder
HAVRE_WATCH_FOLDER = _env("WATCH_FOLDER")
HAVRE_UPLOAD_MAX_BYTES = _env_int("UPLOAD_MAX_MB", 100, least=1) * 1024 * 1024

# --- the facility, guardrails, turns, model ----------------------------------------------------------------------

HAVRE_FACILITY = _env("FACILITY", "Havre")
HAVRE_REGION = _env("REGION", "FR").upper()
HAVRE_OFFLINE = _env_flag("OFFLINE")  # the no-network switch: `models pull` refuses
# "scripted" obeys whatever it reads: for tests and demonstrations of the guardrails alone, with HAVRE_DEBUG
HAVRE_ENGINE = _env_choice("ENGINE", "auto", ("auto", "xllamacpp", "ctransformers", "scripted"))
HAVRE_SLOTS = _env_int("SLOTS", 0)  # 0: as many as fit
HAVRE_CONTEXT = _env_int("CONTEXT", 0)  # tokens a slot; 0: 8192 on a card, 4096 without, less where less fits
HAVRE_THREADS = _env_int("THREADS", 0)  # 0: one per free core
HAVRE_GPU_LAYERS = _env_int("GPU_LAYERS", -1, least=-1)  # -1: as many as the card takes
HAVRE_TENSOR_SPLIT = _env_shares("TENSOR_SPLIT")  # a share for each card; empty: by their free memory
HAVRE_FLASH_ATTENTION = _env_choice("FLASH_ATTENTION", "auto", ("auto", "on", "off"))
HAVRE_KV_TYPE = _env_choice("KV_TYPE", "f16", ("f16", "q8_0", "q4_0"))  # how keys and values are kept
HAVRE_BATCH = _env_int("BATCH", 0)  # tokens of prompts read at a time; 0: 512 on a card, 64 without
HAVRE_SWA_FULL = _env_flag("SWA_FULL", True)  # prompts that begin alike are read once, for more memory
HAVRE_REPACK = _env_flag("REPACK", True)  # without a card: a copy of the weights that this processor reads faster
HAVRE_MAX_TOKENS = _env_int("MAX_TOKENS", 1024, least=32)
HAVRE_REASONING_TOKENS = {  # what a model may think, by the effort that was asked for
    "low": _env_int("REASONING_LOW", 256),
    "medium": _env_int("REASONING_MEDIUM", 512),
    "high": _env_int("REASONING_HIGH", 2048),
}
HAVRE_ANSWER_TOKENS = _env_int("ANSWER_TOKENS", 384, least=16)  # of MAX_TOKENS, kept for the answer
HAVRE_TURN_DEADLINE_SECONDS = _env_int("TURN_DEADLINE_SECONDS", 300, least=5)
HAVRE_LEASE_SECONDS = _env_int("LEASE_SECONDS", 15, least=3)
HAVRE_QUEUE_LIMIT = _env_int("QUEUE_LIMIT", 32, least=1)
HAVRE_STREAM_SECONDS = _env_int("STREAM_SECONDS", 3600, least=60)
HAVRE_SOCKETS_PER_PERSON = _env_int("SOCKETS_PER_PERSON", 20, least=1)
HAVRE_SOCKET_IDLE_SECONDS = _env_int("SOCKET_IDLE_SECONDS", 3600, least=30)
HAVRE_ABANDONED_SECONDS = _env_int("ABANDONED_SECONDS", 10)  # after the last page of a person was closed
HAVRE_TURNS_PER_MINUTE = _env_int("TURNS_PER_MINUTE", 20, least=1)
HAVRE_PASSAGES = _env_int("PASSAGES", 4, least=1)  # passages given to the model
HAVRE_MODELS_DIR = Path(_env("MODELS_DIR", str(HAVRE_DATA_DIR / "models")))
# an answer of which less is supported by the passages is replaced: the guidelines do not cover the question
HAVRE_LEAST_GROUNDED = float(_env("LEAST_GROUNDED", "0.5"))
HAVRE_EMBEDDER = _env("EMBEDDER", "e5")  # "e5", "minilm", or the path of a sentence-transformers folder
HAVRE_CHROMA_URL = _env("CHROMA_URL")  # empty: in the data folder, opened by one knowledge worker

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "portal.logs.WithoutContent", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": _env("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "sentence_transformers": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},  # a line for each tick of the clock tells nobody anything
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
