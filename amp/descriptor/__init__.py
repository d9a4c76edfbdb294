"""Descriptors: from images to fingerprints."""

from amp.descriptor.base import Descriptor, Gradient, descriptors

__all__ = ["Descriptor", "Gradient", "descriptors"]
