"""What daphne serves: HTTP through Django, WebSocket through the chat's consumers."""

import gc
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402 - needs Django's apps to be ready
from django.urls import get_resolver  # noqa: E402

from chat.routing import websocket_application  # noqa: E402
from project.middleware import call_quick_ones_at_once  # noqa: E402
from project.threads import SharedThreads  # noqa: E402

call_quick_ones_at_once()

application = ProtocolTypeRouter(
    {"http": SharedThreads(django_application), "websocket": websocket_application}
)

# Load what the first request would wait for. What is loaded by now stays; searching it for garbage
# would stop all streams for a moment.
get_resolver().url_patterns  # noqa: B018 - loads the URLs and all behind them
gc.collect()
gc.freeze()
