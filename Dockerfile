# covid-xray serve, with PostgreSQL and DICOM; no TensorFlow. Build: docker build -t covid-xray .   Run: compose.yaml
# tests/package/test_image.py takes the same steps without Docker.
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY requirements-image.lock ./
RUN python -m venv /opt/covid-xray \
 && /opt/covid-xray/bin/python -m pip install --no-cache-dir --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/covid-xray/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/covid-xray/bin/python -m pip uninstall --yes hatchling pip

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="covid-xray" \
      org.opencontainers.image.description="Chest radiographs in, findings out. Research use, not for diagnosis." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/covid-xray /opt/covid-xray
RUN mkdir -m 0700 /data && chown 10001:10001 /data
ENV PATH="/opt/covid-xray/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
# Everything is written to /data (images, inbox, SQLite) and /tmp (uploads on their way); the rest may be read-only.
VOLUME /data
WORKDIR /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["covid-xray"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--store", "/data"]
