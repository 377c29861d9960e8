"""The project's wiring. Celery's application is made here, so that every process has it."""

from project.celery import app as celery_app

__all__ = ["celery_app"]
