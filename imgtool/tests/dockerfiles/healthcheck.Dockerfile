FROM base:1
HEALTHCHECK --interval=5m --timeout=3.5s --start-period=1m30s --start-interval=250ms --retries=5 CMD curl -f http://localhost/ || exit 1
