"""What is tried next: searchers propose configurations from what was seen. Only `adapter` imports Ray."""
