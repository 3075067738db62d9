FROM base:1
RUN mkdir /data && echo before > /data/before
VOLUME /data
RUN echo after > /data/after
VOLUME /one /two
VOLUME ["/three", "/with space"]
ENV WHERE=/four
VOLUME $WHERE/sub /five
