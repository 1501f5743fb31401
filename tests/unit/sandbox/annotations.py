"""Holds an object as it came over the wire against the SDK's annotated class for it."""

import ast
import importlib
import inspect
import types
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe import ListObject, StripeObject
from stripe._stripe_object import UntypedStripeObject

SIMPLE = {str: str, int: int, bool: bool, float: (int, float), Decimal: str}
"""What a plain annotation is as JSON; decimals travel as text."""


def problems(value: Any, wanted: type[StripeObject], path: str) -> Iterator[str]:
    """Everything that is missing, unknown or of a wrong value, as `path: what`."""
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    fields = annotations_of(wanted)
    for name in value.keys() - fields.keys():
        yield f"{path}.{name}: not a field of {wanted.__qualname__}"
    for name, annotation in fields.items():
        if name in value:
            yield from _check(value[name], annotation, f"{path}.{name}", wanted.__module__)
        elif type(None) not in get_args(annotation):
            yield f"{path}.{name}: required by {wanted.__qualname__}, but missing"


@cache
def annotations_of(wanted: type[StripeObject]) -> dict[str, Any]:
    """The fields a class and its parents declare; constants and private names are not fields."""
    found: dict[str, Any] = {}
    for parent in reversed(wanted.__mro__):
        if issubclass(parent, StripeObject) and parent is not StripeObject:
            found.update(inspect.get_annotations(parent))
    return {name: hint for name, hint in found.items() if name[0].islower()}


@cache
def _names_in(module: str) -> dict[str, Any]:
    """What a module imports only for type checkers, so that its quoted names can be looked up."""
    loaded = importlib.import_module(module)
    names: dict[str, Any] = {}
    for node in ast.walk(ast.parse(inspect.getsource(loaded))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe"):
            source = importlib.import_module(node.module)
            names.update({alias.asname or alias.name: getattr(source, alias.name) for alias in node.names})
    return names | vars(loaded)


def _resolve(annotation: Any, module: str) -> Any:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return eval(annotation, _names_in(module))  # noqa: S307 - the SDK's own annotation
    return annotation


def _check(value: Any, annotation: Any, path: str, module: str) -> Iterator[str]:
    annotation = _resolve(annotation, module)
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin in (Union, types.UnionType):
        yield from _check_union(value, [_resolve(arg, module) for arg in args], path, module)
    elif origin is Literal:
        yield from _expect(value in args, f"{path}: {value!r} is none of {args}")
    elif origin is list:
        yield from _check_list(value, args[0], path, module)
    elif origin is ListObject:
        yield from _check_list_object(value, args[0], path, module)
    elif origin in (dict, UntypedStripeObject):
        yield from _expect(isinstance(value, dict), f"{path}: {value!r} is no object")
    elif isinstance(origin, type) and issubclass(origin, StripeObject):
        yield from problems(value, origin, path)
    elif origin is not Any:
        fits = isinstance(value, SIMPLE[origin]) and (origin is bool) == isinstance(value, bool)
        yield from _expect(fits, f"{path}: {value!r} is no {origin.__name__}")


def _expect(fits: bool, problem: str) -> Iterator[str]:
    if not fits:
        yield problem


def _check_list(value: Any, item: Any, path: str, module: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is no list"
        return
    for index, row in enumerate(value):
        yield from _check(row, item, f"{path}[{index}]", module)


def _check_union(value: Any, options: list[Any], path: str, module: str) -> Iterator[str]:
    if value is None:
        if type(None) not in options:
            yield f"{path}: must not be null"
        return
    literals = [option for option in options if get_origin(option) is Literal]
    if isinstance(value, str) and literals:
        options = literals  # `Literal | str` is meant as the literals
    failures = [list(_check(value, option, path, module)) for option in options if option is not type(None)]
    if all(failures):
        yield from min(failures, key=len)


def _check_list_object(value: Any, item: Any, path: str, module: str) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("object") != "list":
        yield f"{path}: {value!r} is no list object"
        return
    if value.keys() != {"object", "data", "has_more", "url"}:
        yield f"{path}: fields {sorted(value)}"
    for index, row in enumerate(value["data"]):
        yield from _check(row, item, f"{path}.data[{index}]", module)


def assert_conforms(value: dict[str, Any], wanted: type[StripeObject]) -> None:
    """Fails with the whole list of differences."""
    found = list(problems(value, wanted, value.get("object", "?")))
    assert not found, "\n".join(found)


CLASSES: dict[str, type[StripeObject]] = {
    "account": stripe.Account,
    "application": stripe.Application,
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "capability": stripe.Capability,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "coupon": stripe.Coupon,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "item": stripe.LineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "payout": stripe.Payout,
    "price": stripe.Price,
    "product": stripe.Product,
    "refund": stripe.Refund,
    "webhook_endpoint": stripe.WebhookEndpoint,
}
