"""Uploads in, stored findings out: the API and the web page that a ward would use. Never imports TensorFlow.

The way of one upload, from top to bottom; each module is one stage:

    server.py            settings -> a listening process; who may be let in at all
    app.py               settings and predictor -> the FastAPI application: middleware, routers, start and stop
    http/                security_headers.py, timeouts.py (who sends too slowly is sent away), access.py (who asks, what
                         they may do), uploads.py (a multipart body -> files), problems.py (errors -> RFC 9457)
    rates.py             how often one client may ask
    batching.py          the gate (how many at once, how many wait) and the batchers (many waiting items, one call)
    service.py           one server: decode -> network -> store, and what the routes share
    jobs.py              batches: accepted, then worked off, also after a crash
    api/                 predict.py (explain, model), studies.py, batches.py, sessions.py, health.py, schemas.py
    prometheus.py        what is counted
    views/               a study -> words (study_view.py, clinical_view.py), PNG (drawings.py), PDF (report_pdf.py)
    pages/               the HTML pages                        web/: templates and static files, no build step

What is kept lies in `covid_xray.store`.
"""
