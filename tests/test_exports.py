"""The front door is pinned: a name is added or removed on purpose, and the concrete classes are final."""

import inspect

import msgspec

import triologue as tri

# What a user is meant to make variants of, or cannot make at all.
OPEN = {
    "Message",
    "SystemMessage",
    "Agent",
    "AnyPermission",
    "AnySession",
    "AnyTurn",
    "Carrier",
    "Client",
    "Connection",
    "Controls",
    "Model",
    "SessionStore",
    "Sessions",
    "Tokens",
}


def test_every_name_is_there_and_nothing_else() -> None:
    public = {name for name in vars(tri) if not name.startswith("_") and not inspect.ismodule(getattr(tri, name))}
    assert public == set(tri.__all__)
    assert len(tri.__all__) == len(set(tri.__all__))


def test_concrete_classes_are_final() -> None:
    classes = [getattr(tri, name) for name in tri.__all__ if inspect.isclass(getattr(tri, name))]
    unmarked = [
        kind.__name__
        for kind in classes
        if kind.__name__ not in OPEN
        and not issubclass(kind, Exception | msgspec.Struct)
        and not getattr(kind, "__final__", False)
    ]
    assert unmarked == []


def test_every_public_name_is_documented() -> None:
    documented = [getattr(tri, name) for name in tri.__all__ if inspect.isclass(getattr(tri, name))]
    assert [kind.__name__ for kind in documented if not inspect.getdoc(kind)] == []
