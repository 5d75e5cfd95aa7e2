# The proxy as an image: docker build -t dbproxy . ; compose.yaml runs it with MariaDB and Redis.
#
# Its configuration is the stock one, with addresses from the variables DBPROXY_* and secrets from files in /run/secrets. Other keys:
# docker run dbproxy --set KEY=VALUE, or a file of your own: -v /path/dbproxyserver.conf:/etc/dbproxy/dbproxyserver.conf:ro

FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[fast,ops]'

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'dbproxy[fast,ops]'
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin dbproxy \
    && install -d -o dbproxy -g dbproxy /run/dbproxy
RUN dbproxy-init /etc/dbproxy --yes --listen-ip 0.0.0.0 \
    --file-server '${DBPROXY_FILE_SERVER:-msfs:8700}' \
    --mysql-host '${DBPROXY_MYSQL_HOST:-mariadb}' \
    --mysql-port '${DBPROXY_MYSQL_PORT:-3306}' \
    --mysql-database '${DBPROXY_MYSQL_DATABASE:-teamtalk}' \
    --mysql-user '${DBPROXY_MYSQL_USER:-dbproxy}' \
    --redis-host '${DBPROXY_REDIS_HOST:-redis}' \
    --redis-port '${DBPROXY_REDIS_PORT:-6379}' \
    --mysql-password-file /run/secrets/mysql_password \
    --redis-password-file /run/secrets/redis_password \
    --aes-key-file /run/secrets/aes_key

# server.pid is written here.
WORKDIR /run/dbproxy
USER dbproxy
EXPOSE 10600
# The daemon is process 1, handles SIGTERM itself and has no children.
STOPSIGNAL SIGTERM
ENTRYPOINT ["db_proxy_server", "--config", "/etc/dbproxy/dbproxyserver.conf"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["dbproxy-ctl", "--json", "status"]
