"""What people see of sweeps in a browser: live pages from a local server, and the same views as one file.

`record` is what is known of a sweep, `library` finds them (under the root, in MLflow), the `*_view` modules turn one
into plain data, `server` and `page` hand that data to the scripts in `static/`."""
