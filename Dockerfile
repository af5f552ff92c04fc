# The server in an image: no PyTorch, no compiler, not root, and no network needed to run.
#
#     docker build -t valle .
#     docker run --rm -p 8000:8000 -v valle:/data -e VALLE_API_KEY=choose-a-long-one valle
#
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# One copy of each package, without tests, caches and tools. For results in S3:
#     docker build --build-arg EXTRAS=serve,postgres,s3 -t valle .
ARG EXTRAS=serve,postgres
RUN pip install --no-cache-dir --no-compile --target /app ".[$EXTRAS]" \
    && find /app -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && cd /app/onnxruntime && rm -rf tools transformers quantization datasets backend

FROM python:3.12-slim
RUN useradd --uid 10001 --home-dir /data --shell /usr/sbin/nologin valle \
    && mkdir /data && chown valle:valle /data
COPY --from=build /app /app
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 VALLE_HOME=/data
USER valle
VOLUME /data
EXPOSE 8000
# With --read-only, uploads go to a tmpfs: docker run --read-only --tmpfs /tmp ...
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["python", "-m", "valle"]
CMD ["serve", "--host", "0.0.0.0"]
