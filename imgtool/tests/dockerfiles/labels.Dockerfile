FROM base:1
LABEL one=1
LABEL "com.example.vendor"="ACME Incorporated"
LABEL com.example.label-with-value="foo" two='2' three="a \
multiline"
LABEL version old style value
LABEL one=overridden empty=
LABEL org.opencontainers.image.title="x=y" unicode=äö
MAINTAINER A B <a@b>
