from tests.expectations.conftest import validate_folder

__all__ = ["validate_folder"]
