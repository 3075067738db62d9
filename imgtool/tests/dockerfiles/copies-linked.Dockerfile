FROM base:1
RUN mkdir -p /target && echo old > /target/a.txt && ln -s target /link
COPY --link a.txt /target/
COPY --link --chown=1000:50 --chmod=750 dir /fresh/dir/
COPY --link=true b.txt /b
COPY --link=false b.txt /link/
ADD --link archive.tar.gz /unpacked/
