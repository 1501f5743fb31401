"""Services: one typed slot per contract. A domain fills its slot in init_app; an empty slot raises when it is used."""

from typing import Any, Generic, TypeVar, overload

from shared.contracts.errands import Errands
from shared.contracts.protocols import CalendarService, CartService, Payments

T = TypeVar("T")


class EmptySlot(RuntimeError):
    """A service was used whose domain is not loaded and for which no stub was put in place."""


class Slot(Generic[T]):
    """A named place for one service."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember the name for the error message."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Slot[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "Slot[T] | T":
        """The service, or EmptySlot."""
        if instance is None:
            return self
        try:
            filled: T = instance.__dict__[self._name]
        except KeyError:
            raise EmptySlot(f"services.{self._name} is empty: load its domain or put a stub there") from None
        return filled

    def __set__(self, instance: object, service: T) -> None:
        """Fill the slot; tests and blueprints alone put a stub here."""
        instance.__dict__[self._name] = service


class Services:
    """What the rooms offer each other."""

    calendar = Slot[CalendarService]()
    cart = Slot[CartService]()
    payments = Slot[Payments]()
    errands = Slot[Errands]()

    def filled(self, name: str) -> bool:
        """Whether a slot holds a service."""
        return name in self.__dict__

    def __init__(self, **services: Any) -> None:
        for name, service in services.items():
            setattr(self, name, service)
