"""Code that a sweep file names: read, hashed, imported and checked before anything is spent."""
