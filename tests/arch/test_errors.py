import pickle

import pytest

from labtune import errors
from labtune.errors import LabtuneError

ALL = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LabtuneError)
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_a_trip_between_processes(kind: type[LabtuneError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", hint="mend")))
    assert type(error) is kind
    assert (error.message, error.hint, str(error)) == ("what", "mend", "what")
    assert error.exit_code in {1, 2, 3, 4, 5}


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for kind in ALL:
        assert kind.__name__ in (errors.__doc__ or "")
