"""Uploads in, stored findings out: the API and the web page that a ward would use. Never imports TensorFlow.

The way of one upload, from top to bottom; each module is one stage:

    server.py       settings -> a listening process; who may be let in at all
    app.py          settings and predictor -> the FastAPI application: middleware, routers, start and stop
    shields.py      every response gets its security headers; a foreign Host is refused
    patience.py     who sends too slowly is sent away
    access.py       who asks, what they may do, whether another site made the browser ask
    accounts.py     users, passwords, sessions, bearer tokens in the database
    rates.py        how often one client may ask
    uploads.py      a multipart body, within its limits and its time -> files
    load.py         the gate (how many at once, how many wait) and the batchers (many waiting items, one call)
    service.py      one server: decode -> network -> store, and what the routes share
    store.py        studies, feedback, audit: the transactions      records.py: what it takes and gives
    database.py     what lies below: SQLite or PostgreSQL           tables.py, migrations/: its tables
    worklist.py     filter, sort and page of the studies
    trail.py        who saw whom
    shelf.py        images on disk: generated names, mode 0600, fsync, quota
    jobs.py         batches: accepted, then worked off, also after a crash
    api.py          /api/v1/predict, explain, model      studies.py, batches.py, sessions.py: the other routes
    health.py       /healthz, /readyz, /metrics           gauges.py: what is counted
    schemas.py      what goes over the wire, with examples
    problems.py     every error -> RFC 9457 problem+json with the code of errors.py
    drawings.py     a study -> image and heat map as PNG   printing.py: a study -> PDF    exports.py: studies -> CSV
    pages.py        the HTML pages                        web/: templates and static files, no build step
"""
