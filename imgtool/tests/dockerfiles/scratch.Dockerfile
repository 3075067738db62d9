FROM scratch
COPY a.txt /
COPY dir /d/e
ADD archive.tar.gz /
ENV X=1
WORKDIR /made
CMD ["/a"]
LABEL a=b
