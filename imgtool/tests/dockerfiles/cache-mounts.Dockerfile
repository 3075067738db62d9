FROM base:1 AS seed
RUN mkdir /seed && echo seeded > /seed/file
FROM base:1
RUN --mount=type=cache,target=/cache,id=CORPUS,mode=0750,uid=1000,gid=50 /bin/busybox stat -c '%a %u:%g' /cache > /one && echo kept > /cache/f
RUN --mount=type=cache,target=/again,id=CORPUS,mode=0750,uid=1000,gid=50 cat /again/f > /two
RUN --mount=type=cache,target=/locked,sharing=locked --mount=type=cache,target=/private,sharing=private touch /locked/a /private/b && ls /locked /private > /three
RUN --mount=type=cache,target=/from,from=seed,source=/seed cat /from/file > /four
RUN --mount=type=cache,target=/ro,id=CORPUS-ro,ro ! touch /ro/x 2>/dev/null
RUN ls -d /cache /again /locked 2>/dev/null | /bin/busybox wc -l > /five
