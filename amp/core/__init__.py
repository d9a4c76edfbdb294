"""The words that all rooms share: images, neighbors, units, errors, names, texts and logs."""
