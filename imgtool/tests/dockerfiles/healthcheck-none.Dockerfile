FROM base:1 AS a
HEALTHCHECK --interval=30s \
  CMD ["/bin/true", "x y"]
FROM a
HEALTHCHECK NONE
