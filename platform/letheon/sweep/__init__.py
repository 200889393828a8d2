"""Runs, resumes and audits a sweep: the only package that connects all the others."""
