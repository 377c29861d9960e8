"""Rows that are inserted once and stay as they are; `costs/guards.py` holds the database to it."""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models


class WrittenOnce(Exception):
    """A row of the ledger was to be changed or deleted."""


class WrittenOnceQuerySet(models.QuerySet[Any]):
    def update(self, **values: Any) -> NoReturn:
        raise WrittenOnce(f"{self.model.__name__} rows are never changed")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WrittenOnce(f"{self.model.__name__} rows are never changed")

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        # SQLite ignores a broken CHECK together with a conflict: the row would be lost in silence.
        if kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"):
            raise WrittenOnce(f"{self.model.__name__} rows may not give way to others")
        return super().bulk_create(objs, *args, **kwargs)

    def delete(self) -> NoReturn:
        raise WrittenOnce(f"{self.model.__name__} rows are never deleted")


class WrittenOnceModel(models.Model):
    """A row that is inserted once and stays as it is."""

    objects = WrittenOnceQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise WrittenOnce(f"{type(self).__name__} rows are never changed")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WrittenOnce(f"{type(self).__name__} rows are never deleted")
