"""Runs, resumes and audits a sweep; the package that connects all others."""
