ARG STAGE=build
FROM base:1 AS build
RUN echo x > /x
FROM ${STAGE} AS final
ARG F=a.txt D=/to P=8080 U=app S=SIGQUIT V=/vol W=/work K=key
ENV C=$F
COPY ${F} $D/${F%.txt}.copied
ADD $C $D/added
WORKDIR $W
EXPOSE $P
USER $U
STOPSIGNAL $S
VOLUME $V
LABEL $K=$P
CMD echo $P
ENTRYPOINT ["echo", "$P"]
HEALTHCHECK CMD echo $P
