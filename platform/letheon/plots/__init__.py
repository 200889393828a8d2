"""The picture of a sweep's fronts as PNG. Importing this does not load matplotlib."""
