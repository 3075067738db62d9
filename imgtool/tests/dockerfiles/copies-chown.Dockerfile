FROM base:1
COPY --chown=1000 a.txt /uid
COPY --chown=1000:50 a.txt /both
COPY --chown=app a.txt /name
COPY --chown=app:staff dir /names
COPY --chown=:staff a.txt /group
COPY --chown=4000:staff a.txt /new/deep/er/
USER app
COPY a.txt /as-root
COPY --chmod=640 a.txt /mode
COPY --chmod=0711 dir /modes
COPY --chmod=u=rwX,go=rX,+t dir /symbolic
COPY --chmod=+x b.txt /executable
COPY --chmod=4755 --chown=app a.txt /setuid
ADD --chown=app --chmod=600 b.txt /added
ARG OWNER=1000:50
COPY --chown=$OWNER --chmod=644 a.txt /variable
