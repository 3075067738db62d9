FROM base:1
ENV LANG=C.UTF-8 \
    APP_HOME=/srv/app
RUN set -eux; \
	mkdir -p "$APP_HOME"; \
	for dir in log run; do \
		mkdir -p "$APP_HOME/$dir"; \
	done; \
	chown -R app:app "$APP_HOME"
COPY --chmod=755 <<'SH' /usr/local/bin/docker-entrypoint.sh
#!/bin/sh
set -e
if [ "$1" = 'app' ]; then
	exec "$@" --home "$APP_HOME"
fi
exec "$@"
SH
WORKDIR ${APP_HOME}
STOPSIGNAL SIGQUIT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["app"]
