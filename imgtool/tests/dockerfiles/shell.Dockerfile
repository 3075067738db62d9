FROM base:1
SHELL ["/bin/sh", "-eu", "-c"]
RUN echo "$0 $-" | /bin/busybox grep -o 'eu' > /one
CMD echo shell
FROM base:1 AS next
SHELL ["/bin/busybox", "sh", "-c"]
RUN echo x > /two
ENTRYPOINT run $x
HEALTHCHECK CMD check this
