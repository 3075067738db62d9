FROM base:1 AS Builder
ENV FROM_BUILDER=1
WORKDIR /src
COPY a.txt .
RUN cat a.txt > built && chmod 750 built && chown app:staff built
FROM builder AS tests
RUN echo tested > /tested
CMD ["tests"]
FROM base:1 AS unused
RUN exit 1
FROM scratch AS files
COPY --from=BUILDER /src/built /artifact
COPY --from=0 /src/a.txt /by-index
FROM base:1
COPY --from=files / /out/
COPY --from=tests /tested /src/ /mixed/
COPY --from=base:1 /etc/passwd /passwd
COPY --from=builder --chown=7:8 /src /again
