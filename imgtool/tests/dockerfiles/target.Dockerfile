# options: --target middle
FROM base:1 AS first
RUN echo first > /first
FROM first AS middle
RUN echo middle > /middle
ENTRYPOINT ["middle"]
FROM middle
RUN exit 1
