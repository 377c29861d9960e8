"""Django's settings, made from the environment (project/env.py)."""

from typing import Any

import dj_database_url
from corsheaders.defaults import default_headers

from project import env as environment

ENV = env = environment.read()
BASE_DIR = environment.ROOT
env.data_dir.mkdir(parents=True, exist_ok=True)

DEBUG = env.debug
SECRET_KEY = env.read_secret_key()
AUTH = env.auth
# The loopback names stay: health checks on the machine itself use them.
ALLOWED_HOSTS = [*env.allowed_hosts, "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.csrf_trusted_origins
CORS_ALLOW_ALL_ORIGINS = "*" in env.cors_origins
CORS_ALLOWED_ORIGINS = [origin for origin in env.cors_origins if origin != "*"]
CORS_URLS_REGEX = r"^/(?!admin/)"
CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key", "last-event-id", "x-api-key")
CORS_EXPOSE_HEADERS = ["Retry-After"]

INSTALLED_APPS = [
    "daphne",
    "corsheaders",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_eventstream",
    "ninja",
    "chat",
    "costs",
]

MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "chat.problems.json_problems",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    config: dict[str, Any] = dict(dj_database_url.parse(env.effective_database_url))
    # Async views must not hold a connection; the private executors keep their own open.
    config["CONN_MAX_AGE"] = 0
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = {
            # A deferred transaction that turns into a writer fails at once, whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                " PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint=4000;"
            ),
        }
        # Threads share a file; a test database in memory would be one for each connection.
        config["TEST"] = {"NAME": env.data_dir / "test.sqlite3"}
    else:
        # A server that vanished without a word is noticed in seconds, not in hours.
        noticing: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 10_000}
        noticing |= {"keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
        # Nor may a worker that froze in a transaction keep its locks for longer than its leases.
        noticing["options"] = "-c idle_in_transaction_session_timeout=8s -c lock_timeout=5s"
        config["OPTIONS"] = noticing | config.get("OPTIONS", {})
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        # The other layer of channels_redis drops messages under load and dies with a restart.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                # redis-py would give up an idle subscription after 5 s.
                {"address": env.redis_url, "socket_timeout": None, "socket_connect_timeout": 2}
            ]
        },
    }
}

EVENTSTREAM_STORAGE_CLASS = "chat.sse.LogStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "chat.sse.SessionChannelManager"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "project.formats"

STATIC_URL = "/static/"
STATIC_ROOT = env.data_dir / "static"
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Whoever is reached from elsewhere is reached through a proxy that speaks TLS.
IS_BEHIND_TLS = not DEBUG and not env.is_loopback
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_BEHIND_TLS
# Asked from within, past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if IS_BEHIND_TLS else 0
# Whether that holds for the subdomains too is for those who own the domain to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if IS_BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": f"project.logs.{env.log_format.title()}Formatter"}},
    "filters": {"health": {"()": "project.logs.NoHealthChecks"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["health"]}
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # Django's own handler would say everything a second time.
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        **{name: {"level": env.log_level} for name in ("project", "chat", "costs")},
    },
}
