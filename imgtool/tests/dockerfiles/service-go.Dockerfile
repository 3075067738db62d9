FROM --platform=$BUILDPLATFORM base:1 AS build
WORKDIR /src
COPY --link a.txt b.txt ./
ARG TARGETOS
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache <<EOT
  set -e
  mkdir -p /out
  echo "for ${TARGETOS}" > /out/server
  chmod 755 /out/server
EOT
FROM scratch
COPY --from=build /etc/passwd /etc/group /etc/
COPY --from=build --chown=1000:1001 /out/server /usr/local/bin/server
USER app:app
EXPOSE 8080/tcp
VOLUME ["/var/lib/server"]
ENTRYPOINT ["/usr/local/bin/server"]
CMD ["--help"]
