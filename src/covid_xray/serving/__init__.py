"""Serve the HTTP API and the web pages, for a ward. Never imports TensorFlow.

The modules in the order in which an upload passes them:

    server.py       check the settings, listen, stop in order
    app.py          build the FastAPI application: middleware and routers
    http/           host_check.py, security_headers.py, timeouts.py, access.py (authentication and permissions),
                    uploads.py (read multipart bodies), problems.py (errors as RFC 9457)
    rates.py        limit the requests of one client
    batching.py     limit concurrent uploads; run many waiting items in one call
    service.py      decode, classify and store an upload; hold what the routes share
    jobs.py         accept batches and process them, also after a crash
    api/            the routes of /api/v1 and their schemas
    prometheus.py   count requests for Prometheus
    views/          turn a stored study into texts, PNG and PDF
    pages/, web/    the HTML pages, their templates and static files (no build step)

Studies, images and accounts are kept in `covid_xray.store`.
"""
