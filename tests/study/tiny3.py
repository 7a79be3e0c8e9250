"""The application ``tiny3`` by itself, as applications are looked up by module."""

from tests.study.tiny import Tiny3

APPLICATION = Tiny3()
