FROM base:1
ADD archive.tar.gz /one/
ADD archive.tar /two
ADD archive.tar.gz a.txt /mixed/
ADD --chown=7:8 archive.tar.gz /owned/
COPY archive.tar /copied.tar.kept
RUN test -s /copied.tar.kept && rm /copied.tar.kept
RUN mkdir -p /three/dir && echo old > /three/a.txt && echo stays > /three/dir/stays
ADD archive.tar /three
ADD not-an-archive.tar.gz /four/
ADD dir /five
