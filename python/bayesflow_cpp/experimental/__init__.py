"""What v1 has under this name: rectified flows."""

from . import rectifiers

__all__ = ["rectifiers"]
