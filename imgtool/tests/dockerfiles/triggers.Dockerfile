FROM base:1 AS trigger
ONBUILD ARG V=default
ONBUILD COPY a.txt /triggered
ONBUILD RUN cat /triggered > /ran && echo $V >> /ran
ONBUILD ENV FROM_TRIGGER=1
ONBUILD LABEL "a b"="c d"
FROM trigger
RUN echo own > /own
ONBUILD USER app
ONBUILD RUN ["/bin/true"]
