"""The Faust app as a worker runs it: what of Faust is used, and with which settings."""

import faust

from streams.runtime import security
from streams.runtime.settings import Settings
from streams.runtime.transport import use_batches


def create_app(settings: Settings) -> faust.App:
    """The Faust app: micro-batches, no web server, no tables, nothing declared, nothing committed by itself."""
    app = faust.App(
        settings.worker_group,
        broker=";".join(f"kafka://{address}" for address in settings.kafka.split(",")),
        broker_credentials=security.credentials(settings),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=4,
        stream_publish_on_commit=False,
        broker_max_poll_records=10_000,
        broker_session_timeout=settings.session_timeout,
        # A heartbeat is also how a worker hears that partitions are being assigned anew.
        broker_heartbeat_interval=min(1.0, settings.session_timeout / 3),
        broker_request_timeout=40.0,
        broker_max_poll_interval=300.0,
        consumer_max_fetch_size=4 * 1024 * 1024,
        broker_commit_interval=3600.0,
        datadir=settings.data_dir / "faust",
    )
    # Faust insists on the folder, and keeps nothing in it.
    app.conf.datadir.mkdir(parents=True, exist_ok=True)
    use_batches(app)
    app.finalize()
    return app
